"""The SuperNode's end of tubes to executors of its machine (ADR-0020).

Its socket has a name that no file system knows, so it is seen from within the same network
namespace only.  Who has a ticket gets the desk that the ticket was written for.
"""

import asyncio
import logging
import socket
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from flwr.core.errors import FlwrError, InvalidError
from flwr.core.limits import MAX_RPC_BYTES, MAX_TUBE_CALLS, MAX_TUBES, TUBE_PATIENCE
from flwr.wire.appio_methods import FINISH_LAUNCH, HEARTBEAT, REPORT_EXIT, TAKE_LAUNCH
from flwr.wire.codec.pieces import Invitation
from flwr.wire.interceptors.access_log import log_call
from flwr.wire.interceptors.errors import InternalFailureError
from flwr.wire.pipe import encode_failure
from flwr.wire.status import StatusCode, code_of
from flwr.wire.tickets import TICKET_BYTES, Tickets, socket_name
from flwr.wire.tube import TubeEnd, TubeFrame

_log = logging.getLogger(__name__)

_PATIENCE_S: Final = TUBE_PATIENCE.total_seconds()
_METHODS: Final[Mapping[TubeFrame, str]] = {
    TubeFrame.TAKE: TAKE_LAUNCH,
    TubeFrame.FINISH: FINISH_LAUNCH,
    TubeFrame.RENEW: HEARTBEAT,
    TubeFrame.REPORT: REPORT_EXIT,
}


class TubeCall:
    """One call of an executor, answered once, now or later."""

    __slots__ = ("_began_at", "_call_id", "_tube", "kind", "on_cancel", "payload")

    def __init__(self, tube: "_Tube", call_id: int, kind: TubeFrame, payload: bytes) -> None:
        self._tube, self._call_id, self._began_at = tube, call_id, time.monotonic()
        self.kind, self.payload = kind, payload
        self.on_cancel: Callable[[], None] | None = None
        """Called when nobody waits for the answer any more."""

    def answer(self, response: bytes = b"") -> bool:
        """Answer; False: nobody waits for it any more."""
        self._log({"peer": "tube", "status": StatusCode.OK.name})
        return self._tube.reply(self._call_id, TubeFrame.ANSWER, response)

    def fail(self, error: Exception) -> bool:
        """Say why there is no answer; what is no expected failure is a bug of ours."""
        if not isinstance(error, FlwrError):
            facts = {"event": "bug", "method": _METHODS[self.kind]}
            _log.error("Call failed by a bug", extra=facts, exc_info=error)
            error = InternalFailureError()
        code = code_of(error.kind, _METHODS[self.kind])
        self._log({"peer": "tube", "status": code.name, "cause": error.message})
        return self._tube.reply(self._call_id, TubeFrame.FAILURE, encode_failure(error))

    def _log(self, facts: Mapping[str, object]) -> None:
        log_call(_METHODS[self.kind], time.monotonic() - self._began_at, facts)


Desk = Callable[[TubeCall], None]
"""Answers the calls of one executor; what it raises is the answer."""


class TubeServer:
    """Made where there is one; closed when ``serve`` ends."""

    def __init__(self) -> None:
        self.tickets: Tickets[Desk] = Tickets(MAX_TUBES)
        self._address = socket_name("tube")
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listening.setblocking(False)
        self._listening.bind(self._address)
        self._listening.listen()
        self.tubes: set[_Tube] = set()

    def invite(self, desk: Desk) -> Invitation:
        """Return what connects somebody with ``desk``, once."""
        return Invitation(self._address, self.tickets.write(desk))

    async def serve(self) -> None:
        """Serve until cancelled."""
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            lambda: _Tube(self), sock=self._listening, start_serving=False
        )
        try:
            await server.start_serving()
            await loop.create_future()
        finally:
            server.close()
            for tube in tuple(self.tubes):
                tube.abort()


class _Tube(TubeEnd):
    """One connection."""

    def __init__(self, server: TubeServer) -> None:
        super().__init__(TICKET_BYTES)
        self._server = server
        self._desk: Desk | None = None
        self._calls: dict[int, TubeCall] = {}
        self._opening: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if len(self._server.tubes) >= MAX_TUBES:
            self.abort()  # it calls instead
        self._server.tubes.add(self)
        loop = asyncio.get_running_loop()
        self._opening = loop.call_later(_PATIENCE_S, self.abort)

    def take_frame(self, kind: TubeFrame, call_id: int, payload: bytes) -> None:
        if self._desk is None:
            self._open(kind, call_id, payload)
        elif kind in _METHODS:
            self._begin(self._desk, kind, call_id, payload)
        elif kind is not TubeFrame.CANCEL:
            raise InvalidError(f"a frame of kind {kind.name} from an executor")
        elif (call := self._calls.get(call_id)) is not None and call.on_cancel is not None:
            call.on_cancel()

    def _open(self, kind: TubeFrame, call_id: int, payload: bytes) -> None:
        desk = self._server.tickets.redeem(payload) if kind is TubeFrame.OPEN else None
        if desk is None:
            raise InvalidError("there is no such ticket")
        self._desk, self._longest = desk, MAX_RPC_BYTES
        if self._opening is not None:
            self._opening.cancel()
        self.send(TubeFrame.ANSWER, call_id)
        _log.info("An executor has a tube", extra={"event": "tube-opened"})

    def _begin(self, desk: Desk, kind: TubeFrame, call_id: int, payload: bytes) -> None:
        if call_id in self._calls or len(self._calls) >= MAX_TUBE_CALLS:
            raise InvalidError(f"call {call_id} is one too many")
        call = self._calls[call_id] = TubeCall(self, call_id, kind, payload)
        try:
            desk(call)
        except Exception as error:  # noqa: BLE001 - the edge: every error ends here
            call.fail(error)

    def reply(self, call_id: int, kind: TubeFrame, payload: bytes) -> bool:
        """Send what answers a call; False: nobody waits for it."""
        if self._calls.pop(call_id, None) is None or not self.is_open:
            return False
        self.send(kind, call_id, payload)
        return True

    def lose(self) -> None:
        self._server.tubes.discard(self)
        if self._opening is not None:
            self._opening.cancel()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            if call.on_cancel is not None:
                call.on_cancel()
        if self._desk is not None:
            _log.info("A tube to an executor ended", extra={"event": "tube-ended"})


def open_tubes() -> TubeServer | None:
    """Return what tubes end at, None where the kernel has no such sockets."""
    return TubeServer() if sys.platform == "linux" else None
