"""A hatch in a thread of its own, and the pipe by which an app is invited to it."""

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flwr.core.errors import UnimplementedError
from flwr.core.ids import NodeId
from flwr.shell.in_thread import in_thread
from flwr.wire.appio_methods import OPEN_HATCH
from flwr.wire.clients.hatch import HatchClient
from flwr.wire.codec.pieces import Invitation, encode_invitation
from flwr.wire.hatch_server import Hatch
from flwr.wire.transport import NO_METADATA, Buffers, Take
from tests.unit.wire.desk import Desk

T = TypeVar("T")


class Daemon:
    """A hatch that serves one desk, and the pipe by which an app is invited."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.offers = True
        self.asked = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.hatch = self._run(self._open())
        self._serving = asyncio.run_coroutine_threadsafe(self.hatch.serve(), self._loop)

    def close(self) -> None:
        self.stop_serving()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def stop_serving(self) -> None:
        self._run(self._cancelled())

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        raise UnimplementedError(method)

    def stream(
        self, method: str, request: bytes, *, more: Iterable[Buffers] = (), take: Take
    ) -> None:
        assert method == OPEN_HATCH
        self.asked += 1
        if not self.offers:
            raise UnimplementedError(method)
        take(encode_invitation(self.invite()))

    def invite(self) -> Invitation:
        return self.hatch.invite(self.desk)

    async def _open(self) -> Hatch:
        return Hatch(in_thread)

    async def _cancelled(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


@contextmanager
def serving(desk: Desk) -> Iterator[tuple[Daemon, HatchClient]]:
    daemon = Daemon(desk)
    try:
        yield daemon, HatchClient(daemon, NodeId(5))
    finally:
        daemon.close()
