"""An app's large objects to and from its daemon: by its hatch, else in pieces through the pipe.

What is sent is never put together: the parts of an object go from where they lie.  What arrives is
hashed as it comes, while the app works on what came before.  A stream that breaks is begun again
where it ended.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import Any, Final

from flwr.core.errors import FlwrError, InvalidError, NotFoundError, UnavailableError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import (
    CONTACT_LOST,
    MAX_MISMATCHES,
    MAX_OBJECT_BYTES,
    OBJECT_POLL_CAP,
    OBJECT_POLL_FIRST,
    OBJECT_WAIT,
)
from flwr.wire.appio_methods import PULL_PIECES, PUSH_PIECES
from flwr.wire.clients.appio import ObjectNeverCameError, ObjectRefusedError
from flwr.wire.clients.cutting import Parts, pieces_in_parts
from flwr.wire.clients.hatch import HatchClient
from flwr.wire.codec.pieces import (
    Absence,
    Wanted,
    decode_piece,
    decode_taken,
    encode_opening,
    encode_pull,
)
from flwr.wire.object_format import Content, MalformedObjectError
from flwr.wire.transport import Caller


@dataclass(slots=True)
class _Coming:
    """One object while it comes."""

    content: bytearray
    received: int = 0
    digest: Any = field(default_factory=sha256)


class AppBulk:
    """Streams of one app.

    Args:
        caller: the pipe.
        node_id: who the app is on the wire.
        run_id: of the app.
        hatch: a way past the pipe.
        pause: waits so many seconds before a stream is begun again.
    """

    def __init__(
        self,
        caller: Caller,
        node_id: NodeId,
        run_id: RunId,
        hatch: HatchClient,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._caller, self._node_id, self._run_id = caller, node_id, run_id
        self._hatch, self._pause = hatch, pause

    def push(self, ids: Sequence[ObjectId], objects: Mapping[ObjectId, Parts]) -> None:
        """Send objects.

        Raises:
            UnimplementedError: the daemon has no streams.
            ObjectRefusedError: nobody wants one of them any longer.
        """
        answered = self._hatch.push(self._run_id, ids, objects)
        refused = [object_id for object_id, stored in answered.items() if not stored]
        pending = [object_id for object_id in ids if object_id not in answered]

        def attempt() -> None:
            now = list(pending)

            def take(raw: bytes | bytearray) -> None:
                index, stored = decode_taken(bytes(raw))
                pending.remove(now[index])
                if not stored:
                    refused.append(now[index])

            # Refusals of a stream may get lost while it is written (see BulkClient): ask first.
            self._stream_in((), take)
            opening = encode_opening(self._node_id, self._run_id, now)
            more = pieces_in_parts(now, objects)
            self._caller.stream(PUSH_PIECES, opening, more=more, take=take)

        if pending:
            self._patiently(attempt)
        if refused:
            raise ObjectRefusedError(refused[0])

    def pull(self, ids: Sequence[ObjectId]) -> "Arrivals":
        """Begin to fetch objects, in this order."""
        return Arrivals(ids, self._hatch.pull(self._run_id, ids), self._stream_in, self._pause)

    def _stream_in(
        self, wanted: Sequence[Wanted], take: Callable[[bytes | bytearray], None]
    ) -> None:
        request = encode_pull(self._node_id, self._run_id, wanted).SerializeToString()
        self._caller.stream(PULL_PIECES, request, take=take)

    def _patiently(self, attempt: Callable[[], None]) -> None:
        until, delay_s = _from_now(CONTACT_LOST.total_seconds()), _FIRST_DELAY_S
        while True:
            try:
                return attempt()
            except UnavailableError:
                if time.monotonic() >= until:
                    raise
            self._pause(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)


class Arrivals:
    """Objects on their way here.

    Args:
        ids: in the order in which they are wanted.
        handed: those that come first, whole, and need no check.
        stream: pulls some of them, and gives each message to its second argument.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        ids: Sequence[ObjectId],
        handed: Iterable[tuple[ObjectId, Content]],
        stream: Callable[[Sequence[Wanted], Callable[[bytes | bytearray], None]], None],
        pause: Callable[[float], None],
    ) -> None:
        self._handed, self._stream, self._pause = handed, stream, pause
        self._missing = list(dict.fromkeys(ids))
        self._coming: dict[ObjectId, _Coming] = {}
        self._mismatches: Counter[ObjectId] = Counter()
        self._ready: dict[ObjectId, Content] = {}
        self._failure: FlwrError | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="arrivals", daemon=True).start()

    def get(self, object_id: ObjectId) -> Content:
        """Return an object, once; its bytes have its id.

        Raises:
            UnimplementedError: the daemon has no streams.
            NotFoundError: nobody announced it, or its message is gone.
            ObjectNeverCameError: it did not come in time.
            MalformedObjectError: it came damaged again and again.
        """
        with self._changed:
            self._changed.wait_for(lambda: object_id in self._ready or self._failure is not None)
            if object_id in self._ready:
                return self._ready.pop(object_id)
            assert self._failure is not None
            raise self._failure

    def _run(self) -> None:
        try:
            self._pull_all()
        except FlwrError as failure:
            self._fail(failure)
        except BaseException as bug:
            self._fail(FlwrError(f"objects could not be received: {bug!r}"))
            raise

    def _pull_all(self) -> None:
        for object_id, content in self._handed:
            self._put(object_id, content)
        if self._missing:
            self._pull_in_pieces()

    def _pull_in_pieces(self) -> None:
        lost_at, awaited_at = _from_now(CONTACT_LOST.total_seconds()), _from_now(_OBJECT_WAIT_S)
        delay_s = _FIRST_DELAY_S
        while True:
            before = self._progress()
            try:
                self._pull_missing()
            except UnavailableError:
                if time.monotonic() >= lost_at:
                    raise
            if not self._missing:
                return
            if self._progress() != before:
                delay_s, lost_at = _FIRST_DELAY_S, _from_now(CONTACT_LOST.total_seconds())
            elif time.monotonic() >= awaited_at:
                raise ObjectNeverCameError(self._missing[0], OBJECT_WAIT)
            self._pause(delay_s)
            delay_s = min(2 * delay_s, _LONGEST_DELAY_S)

    def _progress(self) -> tuple[int, int]:
        return len(self._missing), sum(one.received for one in self._coming.values())

    def _pull_missing(self) -> None:
        wanted = [self._want(object_id) for object_id in self._missing]
        self._stream(wanted, partial(self._take, [one.object_id for one in wanted]))

    def _want(self, object_id: ObjectId) -> Wanted:
        coming = self._coming.get(object_id)
        offset = 0 if coming is None else coming.received
        return Wanted(object_id, offset, self._mismatches[object_id] > 0)

    def _take(self, asked: Sequence[ObjectId], raw: bytes | bytearray) -> None:
        piece = decode_piece(raw)
        if piece.index >= len(asked) or piece.size > MAX_OBJECT_BYTES:
            raise InvalidError("the daemon sent an object that was not asked for")
        object_id = asked[piece.index]
        if piece.absence is Absence.UNKNOWN:
            raise NotFoundError(f"object {object_id} is unknown to the peer")
        if piece.absence is Absence.AWAITED:
            return
        coming = self._coming.get(object_id)
        if coming is None:
            coming = self._coming[object_id] = _Coming(bytearray(piece.size))
        end = coming.received + len(piece.data)
        if piece.offset != coming.received or end > len(coming.content):
            raise InvalidError(f"a piece of object {object_id} is not the next one")
        coming.content[coming.received : end] = piece.data
        coming.digest.update(piece.data)
        coming.received = end
        if end == len(coming.content):
            self._complete(object_id, self._coming.pop(object_id))

    def _complete(self, object_id: ObjectId, coming: _Coming) -> None:
        if coming.digest.hexdigest() != object_id:
            self._mismatches[object_id] += 1
            if self._mismatches[object_id] == MAX_MISMATCHES:
                raise MalformedObjectError(f"the bytes of {object_id} have another id")
            return
        self._put(object_id, coming.content)

    def _put(self, object_id: ObjectId, content: Content) -> None:
        with self._changed:
            self._missing.remove(object_id)
            self._ready[object_id] = content
            self._changed.notify_all()

    def _fail(self, failure: FlwrError) -> None:
        with self._changed:
            self._failure = failure
            self._changed.notify_all()


def _from_now(seconds: float) -> float:
    return time.monotonic() + seconds


_FIRST_DELAY_S: Final = OBJECT_POLL_FIRST.total_seconds()
_LONGEST_DELAY_S: Final = OBJECT_POLL_CAP.total_seconds()
_OBJECT_WAIT_S: Final = OBJECT_WAIT.total_seconds()
