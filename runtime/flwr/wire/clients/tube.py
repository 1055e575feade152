"""An executor's end of the tube to its SuperNode (``wire.tube``), where they are on one machine.

A tube is opened by a proven call and used while it lasts.  Who finds it lost makes the call of the
same name instead; whether the lost one was heard, it does not know.
"""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import Final

from flwr.core.errors import ErrorKind, FlwrError, InvalidError
from flwr.core.limits import MAX_RPC_BYTES, TUBE_PATIENCE
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire import metadata
from flwr.wire.appio_methods import FINISH_LAUNCH, HEARTBEAT
from flwr.wire.codec.pieces import Invitation
from flwr.wire.pipe import decode_failure
from flwr.wire.tube import CALL_IDS, TubeEnd, TubeFrame, TubeLostError

log = logging.getLogger(__name__)

_ANSWERS: Final = frozenset({TubeFrame.ANSWER, TubeFrame.FAILURE})
_USELESS: Final = 3
_PATIENCE_S: Final = TUBE_PATIENCE.total_seconds()

Invite = Callable[[], Awaitable[Invitation]]


class Tubes:
    """The tube of one executor: opened where it can be had, and again when it was lost."""

    def __init__(self) -> None:
        self._tube: Tube | None = None
        self._may_be_had = True
        self._useless = 0  # tubes lost one after the other that had brought no answer

    @property
    def current(self) -> "Tube | None":
        """The tube, None while there is none."""
        tube = self._tube
        return tube if tube is not None and tube.is_open else None

    async def open(self, invite: Invite) -> "Tube | None":
        """Return the tube; None where there is none to be had.

        Args:
            invite: the proven call.

        Raises:
            FlwrError: the SuperNode is not there at all.
        """
        if (tube := self.current) is not None:
            return tube
        if not self._is_worth_it():
            return None
        try:
            self._tube = await _connect(await invite())
        except TubeLostError:  # the SuperNode ends, or has enough of them
            self._useless += 1
            return None
        except (FlwrError, OSError) as error:
            if isinstance(error, FlwrError) and error.kind is ErrorKind.UNAVAILABLE:
                raise
            self._may_be_had = False  # an older or another daemon, another machine
            log.debug("There is no tube", extra={"event": "no-tube", "cause": str(error)})
            return None
        log.info("Launches come by a tube", extra={"event": "tube-opened"})
        return self._tube

    def _is_worth_it(self) -> bool:
        """Tell whether to open one: not if they keep breaking before they are of use."""
        if self._tube is not None:
            self._useless = 0 if self._tube.was_useful else self._useless + 1
            self._may_be_had = self._may_be_had and self._useless < _USELESS
            self._tube = None
        return self._may_be_had

    async def call(
        self, method: str, request: bytes, token: str, said: Mapping[str, str], timeout_s: float
    ) -> bytes | None:
        """Make a call of a launch; None: it is to be made by gRPC.

        Args:
            method: full path.
            request: of that method.
            token: of the launch.
            said: what its headers would say besides.
            timeout_s: how long the answer is waited for.

        Raises:
            FlwrError: what the SuperNode says.
        """
        tube = self.current
        frame = None if tube is None else _frame(method, request, token, said)
        if tube is None or frame is None:
            return None
        try:
            return await tube.call(*frame, timeout_s=timeout_s)
        except TubeLostError:
            return None

    def reconsider(self) -> None:
        """Try again to have one: the SuperNode was away, and may be another one now."""
        self._may_be_had, self._useless = True, 0

    def close(self) -> None:
        """Hang up."""
        self._may_be_had = False
        if self._tube is not None:
            self._tube.abort()


class Tube(TubeEnd):
    """One connection.

    Args:
        ticket: opens it.
    """

    def __init__(self, ticket: bytes) -> None:
        super().__init__(MAX_RPC_BYTES)
        self._ids = count()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._left: set[int] = set()  # calls that nobody waits for, answered all the same
        self._ticket = ticket
        self.was_useful = False
        """True once it has brought an answer."""

    async def open(self) -> None:
        """Show the ticket.

        Raises:
            TubeLostError: it is not accepted.
        """
        await self.call(TubeFrame.OPEN, self._ticket, timeout_s=_PATIENCE_S)
        self.was_useful = False

    async def call(self, kind: TubeFrame, payload: bytes, *, timeout_s: float) -> bytes:
        """Return what the SuperNode answers.  One that does not in time loses the tube.

        Raises:
            TubeLostError: there is no tube any more; the call may have been heard.
            FlwrError: what the SuperNode says.
        """
        if not self.is_open:
            raise TubeLostError
        loop = asyncio.get_running_loop()
        call_id = self._next_id()
        answer: asyncio.Future[bytes] = loop.create_future()
        self._waiting[call_id] = answer
        deadline = loop.call_later(timeout_s, self.abort)
        self.send(kind, call_id, payload)
        try:
            return await answer
        except asyncio.CancelledError:
            self._leave(call_id, kind, answer)
            raise
        finally:
            deadline.cancel()

    def _leave(self, call_id: int, kind: TubeFrame, answer: "asyncio.Future[bytes]") -> None:
        """Give back what was taken for a caller that is gone, now or when it comes."""
        if kind is not TubeFrame.TAKE:
            self._waiting.pop(call_id, None)
        elif self._waiting.pop(call_id, None) is not None:
            self._left.add(call_id)
            self.send(TubeFrame.CANCEL, call_id)
        elif not answer.cancelled() and answer.exception() is None:
            self._give_back(answer.result())

    def _give_back(self, taken: bytes) -> None:
        token = launches_pb2.TakeResponse.FromString(taken).token
        if token:
            cause = "was not started: its executor goes away"
            report = launches_pb2.ReportExitRequest(token=token, cause=cause, stopped=True)
            self.send(TubeFrame.REPORT, self._next_id(), report.SerializeToString())

    def _next_id(self) -> int:
        return next(self._ids) % CALL_IDS

    def take_frame(self, kind: TubeFrame, call_id: int, payload: bytes) -> None:
        """Tell who waits."""
        if kind not in _ANSWERS:
            raise InvalidError(f"a frame of kind {kind.name} from a SuperNode")
        answer = self._waiting.pop(call_id, None)
        if answer is None or answer.done():
            is_left = call_id in self._left or answer is not None  # answered as it was cancelled
            self._left.discard(call_id)
            if is_left and kind is TubeFrame.ANSWER:
                self._give_back(payload)
        elif kind is TubeFrame.ANSWER:
            self.was_useful = True
            answer.set_result(payload)
        else:
            answer.set_exception(decode_failure(payload))

    def lose(self) -> None:
        """Tell all who wait."""
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(TubeLostError())


async def _connect(invitation: Invitation) -> Tube:
    """Return an open tube.

    Raises:
        OSError: it cannot be reached from here.
        TubeLostError: it is not for us.
    """
    tube = Tube(invitation.ticket)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_PATIENCE_S):
        await loop.create_unix_connection(lambda: tube, os.fsdecode(invitation.address))
    try:
        await tube.open()
    except BaseException:
        tube.abort()
        raise
    return tube


def _frame(
    method: str, request: bytes, token: str, said: Mapping[str, str]
) -> tuple[TubeFrame, bytes] | None:
    """Return what says the same on a tube; None: nothing does."""
    if method == FINISH_LAUNCH:
        proof = launches_pb2.FinishRequest(token=token).SerializeToString()
        return TubeFrame.FINISH, request + proof  # of each field the last one counts
    if method == HEARTBEAT:
        until_next = said.get(metadata.HEARTBEAT_S, "")
        renewal = launches_pb2.Renewal(token=token, heartbeat_s=until_next)
        return TubeFrame.RENEW, renewal.SerializeToString()
    return None
