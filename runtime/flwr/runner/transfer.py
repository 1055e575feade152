"""Moving the objects of messages, a few at a time, never all in memory at once."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from flwr.core.ids import ObjectId
from flwr.core.limits import TRANSFERS_IN_PARALLEL

if TYPE_CHECKING:  # it hooks into every fork, and small messages need none of it
    from concurrent.futures import Future, ThreadPoolExecutor

T = TypeVar("T")
U = TypeVar("U")
Get = Callable[[ObjectId], bytes]
Put = Callable[[ObjectId, bytes], None]


class Transfers:
    """The threads of one app that wait for object transfers."""

    def __init__(self, parallel: int = TRANSFERS_IN_PARALLEL) -> None:
        self._parallel = parallel

    @cached_property
    def _pool(self) -> "ThreadPoolExecutor":
        """Made when something is moved: messages that travel whole need none."""
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # see above

        return ThreadPoolExecutor(self._parallel, thread_name_prefix="transfer")

    def push(
        self,
        wanted: Collection[ObjectId],
        objects: Mapping[ObjectId, Callable[[], bytes]],
        put: Put,
    ) -> None:
        """Make and send the wanted objects; the first failure ends it.

        Args:
            wanted: ids the receiver lacks; those that are not ours are left to their sender.
            objects: makers of the bytes, called only for what is sent.
            put: sends one object.
        """

        def send(object_id: ObjectId) -> None:
            put(object_id, objects[object_id]())

        ours = (object_id for object_id in wanted if object_id in objects)
        running: list[Future[None]] = []
        try:
            for object_id in ours:
                if len(running) >= self._parallel:
                    running.pop(0).result()
                running.append(self._pool.submit(send, object_id))
            for future in running:
                future.result()
        finally:
            for future in running:
                future.cancel()

    def ahead(self, ids: Iterable[ObjectId], fetch: Get) -> Get:
        """Return a getter for ``ids`` in their order that fetches the next ones meanwhile."""
        waiting = iter(ids)
        running: dict[ObjectId, Future[bytes]] = {}

        def get(object_id: ObjectId) -> bytes:
            for following in islice(waiting, self._parallel - len(running)):
                running[following] = self._pool.submit(fetch, following)
            future = running.pop(object_id, None)
            return fetch(object_id) if future is None else future.result()

        return get
