"""A node's line to its SuperLink: instructions in, replies out, one stream for both (ADR-0021).

A line is opened once and proven once; then whatever is ready shares a frame.  When it ends, however
that happens, everything it had not finished fails as unavailable, and is done by calls or by the
next line: nothing is counted twice, and nothing that was not answered is forgotten.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import grpc

from flwr.auth.line_seal import LineKey, LineSeal
from flwr.core.errors import FlwrError, UnavailableError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import (
    LINE_ANSWER,
    LINE_OPENING,
    LINE_REPLIES,
    LINE_WINDOW,
    PULL_AGAIN_BEFORE,
)
from flwr.core.message import Delivery
from flwr.proto.compose.v1 import line_pb2
from flwr.wire.clients.bulk import Headers, failure_of_stream
from flwr.wire.clients.confirming import Confirmations, Secure
from flwr.wire.codec.lines import (
    OPEN,
    Answer,
    LinkSays,
    NodeSays,
    decode_link_frame,
    encode_node_frame,
    fitting,
)
from flwr.wire.line import LineWriter

Call = grpc.aio.StreamStreamCall[bytes, bytes]
Sign = Callable[[str, bytes], Headers]

_LONGEST_QUIET: Final = timedelta(seconds=60)  # at which proxies end silent streams
_UNTOLD: Final = LINE_WINDOW // 2  # taken; then the SuperLink is told, if nothing else is said


async def open_line(
    channel: grpc.aio.Channel,
    sign: Sign,
    node_id: NodeId,
    interval: timedelta,
    *,
    is_durable: bool,
    secure: Secure,
) -> "NodeLine":
    """Open a line; the caller closes it.

    Args:
        channel: stays the caller's to close.
        sign: proves the opening.
        node_id: ours.
        interval: between two signs of life.
        is_durable: this node keeps what it confirmed over a restart.
        secure: called before anything is confirmed.

    Raises:
        FlwrError: there is none to be had; a call tells why.
    """
    key = LineKey()
    opening = line_pb2.NodeFrame(
        heartbeat_interval=interval.total_seconds(), durable=is_durable, key=key.public
    )
    opening.node.node_id = node_id
    raw = opening.SerializeToString()
    start: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(OPEN)
    call = start(metadata=sign(OPEN, raw))
    try:
        async with asyncio.timeout(LINE_OPENING.total_seconds()):
            await call.write(raw)
            hello = await call.read()
        # The end of the stream is no message, and has no key.
        told = line_pb2.LinkFrame.FromString(hello if isinstance(hello, bytes) else b"")
        seal = key.seal_of_node(told.key)
    except BaseException as cause:
        call.cancel()
        if isinstance(cause, Exception):
            raise _failure_of(cause) from cause
        raise
    return NodeLine(call, seal, interval, secure)


class LineEndedError(UnavailableError):
    """The line has ended; what it had not finished is to be done otherwise."""

    def __init__(self, cause: FlwrError) -> None:
        """Say what ended it."""
        super().__init__(f"the line to the SuperLink ended: {cause.message}", hint=cause.hint)


class NodeLine:
    """An open line.

    Args:
        call: the stream, opened and answered.
        seal: of our frames.
        interval: between two signs of life.
        secure: called before anything is confirmed.
    """

    def __init__(self, call: Call, seal: LineSeal, interval: timedelta, secure: Secure) -> None:
        self._call, self._seal = call, seal
        self._loop = asyncio.get_running_loop()
        self._quiet_s = (min(interval, _LONGEST_QUIET) - PULL_AGAIN_BEFORE).total_seconds()
        self._said_at = self._loop.time()
        self._failure: FlwrError | None = None
        self._says = NodeSays()
        self._arrived: list[Delivery] = []
        self._ended_runs: list[RunId] = []
        self._was_heard = False
        self._something = asyncio.Event()  # for whoever pulls
        self._told_active: list[RunId] = []
        self._told = 0  # of what was taken
        self._has_asked = False
        self._unconfirmed = Confirmations(secure, self._say_received)
        self._waiting: dict[MessageId, asyncio.Future[Answer]] = {}  # by the id of the reply
        self._writer = LineWriter(self._next_frame, self._write)
        self._silence = self._loop.call_later(self._quiet_s, self._on_silence)
        self._reading = self._loop.create_task(self._read(), name="line")

    @property
    def is_open(self) -> bool:
        """True until it has ended, as far as is known here."""
        return self._failure is None

    @property
    def has_room(self) -> bool:
        """True while one more reply may be sent."""
        return self._failure is None and len(self._waiting) < LINE_REPLIES

    async def pull(self, active: Sequence[RunId]) -> tuple[Sequence[Delivery], Sequence[RunId]]:
        """Wait for instructions, or for word of runs that ended; neither: the line is alive.

        What came before the line ended is handed over before that is said.

        Args:
            active: runs this node holds something of.

        Raises:
            LineEndedError: it has ended.
        """
        if list(active) != self._told_active:
            self._told_active = list(active)
            self._says.active = self._told_active
            await self._writer.flush()
        while not (self._arrived or self._ended_runs or self._was_heard):
            if self._failure is not None:
                raise LineEndedError(self._failure)
            self._something.clear()
            await self._something.wait()
        deliveries, self._arrived = self._arrived, []
        ended, self._ended_runs = self._ended_runs, []
        self._was_heard = False
        self._says.taken += len(deliveries)
        self._told_active = [run_id for run_id in self._told_active if run_id not in ended]
        await self._writer.flush()
        return deliveries, ended

    def confirm(self, message_ids: Sequence[MessageId]) -> None:
        """Say soon which instructions are here, durably, unless they are answered before."""
        if message_ids:
            self._unconfirmed.add(message_ids)

    async def push(self, reply: Delivery, runtime_s: float) -> list[ObjectId]:
        """Send a small reply, whole; the answer names the objects that are wanted all the same.

        Raises:
            LineEndedError: it has ended; it is not known whether the reply arrived.
            FlwrError: the SuperLink refuses the reply.
        """
        reply_id, asked = reply.envelope.message_id, reply.envelope.reply_to
        answered = self._waiting[reply_id] = self._loop.create_future()
        try:
            if asked is not None:
                self._unconfirmed.forget(asked)
            self._says.replies.append((reply, runtime_s))
            await self._writer.flush()
            if self._failure is not None and not answered.done():
                raise LineEndedError(self._failure)
            answer = await answered
        finally:
            del self._waiting[reply_id]
        if answer.refusal is not None:
            raise answer.refusal
        return list(answer.missing)

    def close(self) -> list[MessageId]:
        """End it; return what should be confirmed by other means."""
        self._end(UnavailableError("closed"))
        return self._unconfirmed.close()

    def _next_frame(self) -> bytes | None:
        said = self._says
        has_news = said.replies or said.received or said.active is not None or said.asks
        if self._failure is not None or not (has_news or said.taken - self._told >= _UNTOLD):
            return None
        count = fitting(reply for reply, _ in said.replies)
        self._says, self._told = NodeSays(said.taken, replies=said.replies[count:]), said.taken
        del said.replies[count:]
        self._said_at = self._loop.time()
        return self._seal.seal(encode_node_frame(said))

    async def _write(self, frame: bytes) -> None:
        try:
            await self._call.write(frame)
        except (grpc.RpcError, asyncio.InvalidStateError) as cause:
            self._end(_failure_of(cause))
        except asyncio.CancelledError:  # ours, or of the call, which raises the same
            task, was_closed = asyncio.current_task(), self._failure is not None
            self._end(UnavailableError("cancelled"))
            if not was_closed or (task is not None and task.cancelling()):
                raise

    async def _read(self) -> None:
        try:
            while isinstance(frame := await self._call.read(), bytes):
                self._take(decode_link_frame(frame))
        except asyncio.CancelledError:
            self._end(UnavailableError("cancelled"))
            raise
        except Exception as cause:  # noqa: BLE001 - whatever it is, it ends the line only
            self._end(_failure_of(cause))
        else:
            self._end(UnavailableError("the SuperLink has ended it"))

    def _take(self, said: LinkSays) -> None:
        if self._has_asked:  # whatever it says, it is there
            self._has_asked = False
            self._silence.cancel()
            self._silence = self._loop.call_later(self._quiet_s, self._on_silence)
        for answer in said.answers:  # first: what the instructions cause can forget these replies
            waiting = self._waiting.get(answer.reply_id)
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        self._arrived += said.deliveries
        self._ended_runs += said.ended_runs
        self._was_heard |= said.heard
        if said.deliveries or said.ended_runs or said.heard:
            self._something.set()

    def _on_silence(self) -> None:
        """See whether the SuperLink is there, if we have said nothing for a while."""
        if self._has_asked:
            self._end(UnavailableError("the SuperLink does not answer"))
            return
        pause_s = self._said_at + self._quiet_s - self._loop.time()
        if pause_s <= 0:
            self._has_asked = self._says.asks = True
            self._writer.flush_soon()
            pause_s = LINE_ANSWER.total_seconds()
        self._silence = self._loop.call_later(pause_s, self._on_silence)

    def _say_received(self, message_ids: Sequence[MessageId]) -> None:
        self._says.received += message_ids
        self._writer.flush_soon()

    def _end(self, failure: FlwrError) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        self._silence.cancel()
        self._unconfirmed.close()
        self._writer.close()
        self._something.set()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(LineEndedError(failure))
        self._call.cancel()


def _failure_of(cause: BaseException) -> FlwrError:
    """Return what ended a line, or kept it from being opened."""
    if isinstance(cause, FlwrError):
        return cause
    if isinstance(cause, grpc.RpcError):
        return failure_of_stream(cause, OPEN)
    return UnavailableError(f"the line broke: {cause!r}")
