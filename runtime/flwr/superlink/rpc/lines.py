"""Lines of nodes: one stream for a node's instructions, replies and signs of life (ADR-0021).

What a line does is what the calls of Fleet do, by the same operations; a node without a line makes
these calls.  A line has two ends in this process: ``_read`` takes what the node says, ``_hand_out``
waits for what it can be handed.  Both say what they have to say with the next frame.
"""

import asyncio
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import grpc

from flwr.auth.line_seal import LineKey
from flwr.auth.node_keys import NodeIdError
from flwr.core.errors import FlwrError, InvalidError, UnavailableError
from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.limits import (
    ENCLOSED_MESSAGE_BYTES,
    LINE_FRAME_BYTES,
    LINE_LIFE,
    LINE_REPLIES,
    LINE_WINDOW,
    LINES_BYTES,
    NODE_PATIENCE,
    PULL_AGAIN_BEFORE,
    SMALL_MESSAGE_BYTES,
)
from flwr.core.message import Delivery
from flwr.core.node import require_interval
from flwr.proto.compose.v1 import line_pb2
from flwr.shell.in_thread import AtOnce
from flwr.shell.wakeups import Wakeups
from flwr.superlink.messages import MessageExchange
from flwr.superlink.nodes import Nodes
from flwr.superlink.presence import Presence
from flwr.superlink.rpc.handing import Asking, Found, Handing
from flwr.superlink.rpc.taking import ReplyTaking
from flwr.superlink.takers import Takers
from flwr.wire.codec.lines import (
    NODE_LINE,
    Answer,
    LinkSays,
    NodeSays,
    decode_node_frame,
    encode_link_frame,
    fitting,
    read_node_frame,
)
from flwr.wire.interceptors.access_log import add_fact
from flwr.wire.interceptors.guarding import Opened, Rpc
from flwr.wire.interceptors.node import calling_key, calling_node
from flwr.wire.line import LineWriter

logger = logging.getLogger(__name__)

FindNode = Callable[[bytes], Awaitable[NodeId | None]]
"""Finds the registered node of a public key, as the proof of the opening did."""

_MOST_IN_HAND: Final = 1024  # kept of what a node took and never spoke of again
_NOTED_EVERY: Final = PULL_AGAIN_BEFORE  # presence, while frames follow each other


class LineServicer:
    """Serves the lines of nodes; one line for a node, the last it opened.

    Args:
        find_node: asked for each frame whether the key still has its node.
        nodes: told of nodes that keep what they confirmed.
        messages: where replies go.
        handing: where instructions come from.
        presence: told that a node was heard.
        wakeups: ring when there is something for a node.
        takers: told who takes instructions at once.
        at_once: runs small operations.
        life: of a line, about.
    """

    def __init__(
        self,
        *,
        find_node: FindNode,
        nodes: Nodes,
        messages: MessageExchange,
        handing: Handing,
        presence: Presence,
        wakeups: Wakeups,
        takers: Takers,
        at_once: AtOnce,
        life: timedelta = LINE_LIFE,
    ) -> None:
        self.find_node, self.nodes, self.messages = find_node, nodes, messages
        self.handing, self.presence = handing, presence
        self.wakeups, self.takers, self.at_once, self.life = wakeups, takers, at_once, life
        self.leaving_bytes = 0
        """Of instructions in frames that are on their way to their nodes, all of them together."""
        self._lines: dict[NodeId, _Line] = {}
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def is_full(self) -> bool:
        """True while so much is on its way to all nodes that large instructions do not go whole."""
        return self.leaving_bytes > LINES_BYTES

    async def open(self, opened: Opened, rpc: Rpc) -> None:
        """Serve a line until either end has enough of it."""
        line = _Line(self, opened.request, rpc)
        if (older := self._lines.get(line.node_id)) is not None:
            older.end()
        self._lines[line.node_id] = line
        try:
            await line.serve()
        finally:
            self.takers.remove(line.node_id, line)
            if self._lines.get(line.node_id) is line:
                del self._lines[line.node_id]
            # Not awaited: the call may have been cancelled, and what was taken must not be lost.
            leaving = asyncio.create_task(line.leave(), name="line-leaving")
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    def register(self, server: grpc.aio.Server) -> None:
        """Serve on ``server``; bytes stay as they are, the guard decodes the opening."""
        handler: Any = grpc.stream_stream_rpc_method_handler(
            self.open, request_deserializer=line_pb2.NodeFrame.FromString
        )
        generic = grpc.method_handlers_generic_handler(NODE_LINE.strip("/"), {"Open": handler})
        server.add_generic_rpc_handlers((generic,))


class _Line:
    """One open line."""

    _numbers = itertools.count(1)

    def __init__(self, home: LineServicer, opening: line_pb2.NodeFrame, rpc: Rpc) -> None:
        require_interval(opening.heartbeat_interval)
        self._home, self._rpc = home, rpc
        self.node_id, self._key = calling_node(), calling_key()
        self._interval_s, self._is_durable = opening.heartbeat_interval, opening.durable
        self._loop = asyncio.get_running_loop()
        self._bell = f"line:{next(self._numbers)}"  # rings at this line alone
        key = LineKey()
        self._seal = key.seal_by_link(opening.key)
        self._hello = line_pb2.LinkFrame(key=key.public).SerializeToString()
        self._writer = LineWriter(self._next_frame, self._write)
        self._says = LinkSays()
        self._window: list[Delivery] = []  # handed out, and not taken by the node yet
        self._taken = 0
        self._in_hand: dict[MessageId, None] = {}  # neither confirmed nor answered
        self._asking = self._ask_for(())
        self._gathered_bytes = self._leaving_bytes = 0  # of instructions: for frames, in one
        self._taking = ReplyTaking(self.node_id, home.messages, home.at_once, self._tell)
        self._is_ending = False
        self._has_changed = False
        self._heard_at = self._noted_at = -1.0
        self._handed = 0
        said = read_node_frame(opening)
        if said.replies or said.received or said.taken:
            raise InvalidError("the opening of a line says nothing of messages")
        self._take_news(said)

    async def serve(self) -> None:
        """Serve it to its end.

        Raises:
            FlwrError: the node may not go on.
        """
        self._note_heard()
        if self._is_durable:
            self._home.nodes.note_durable(self.node_id)
        await self._write(self._hello)
        self._home.takers.add(self.node_id, self)
        reading = asyncio.create_task(self._read(), name="line-read")
        reading.add_done_callback(lambda _: self.end())
        try:
            await self._hand_out(self._loop.time())
            if reading.done():
                await reading
        finally:
            # Left alone if it still waits: gRPC ends it with the call, and cancelling it leaks.
            reading.add_done_callback(_seen)
            add_fact("handed", self._handed)
            add_fact("replies", self._taking.count)

    def end(self) -> None:
        """End it; what is on its way is left to the node's next line."""
        self._is_ending = True
        self._home.wakeups.ring({self._bell})

    async def leave(self) -> None:
        """Let wait again what did not reach the node, as far as is known."""
        self._writer.close()
        self._taking.close()
        self._home.leaving_bytes -= self._gathered_bytes
        self._gathered_bytes = self._leaving_bytes = 0
        for delivery in self._window:
            if delivery.envelope.message_id not in self._in_hand:
                continue
            try:
                await self._home.handing.put_back(delivery)
            except FlwrError as error:  # it is handed out again after a while
                logger.warning(
                    "Cannot take back an instruction",
                    extra={"event": "storage", "cause": error.message},
                )

    # What the node is told.

    @property
    def room(self) -> int:
        """How many instructions may be on their way to the node besides those that are."""
        return 0 if self._is_ending else max(LINE_WINDOW - len(self._window), 0)

    def take(self, delivery: Delivery) -> bool:
        """Send an instruction that was taken for the node; False when it cannot be any more."""
        if not self.room or self._home.wakeups.is_closed:
            return False
        if self._home.is_full and delivery.size_bytes > SMALL_MESSAGE_BYTES:
            return False
        self._say((delivery, ()))
        self._writer.flush_soon()
        return True

    async def _hand_out(self, began_at: float) -> None:
        """Hand out what there is until the line ends."""
        silence_s = NODE_PATIENCE * self._interval_s
        ends_at = began_at + self._home.life.total_seconds() * random.uniform(0.8, 1)  # noqa: S311
        looks_again = timedelta(seconds=self._interval_s)
        while not (self._is_ending or self._home.wakeups.is_closed):
            bells = (self._bell, *self._asking.bells)
            found = await self._home.wakeups.until(bells, self._attempt, timeout=looks_again)
            while found is not None and self._say(found):
                found = await self._attempt()
            now = self._loop.time()
            if now >= ends_at:
                break
            if now - self._heard_at > silence_s:
                raise UnavailableError("the node was not heard on its line")
            if found is None and not self._says.deliveries:
                found = await self._look(())  # is anything lost that it should have by now?
                if found is not None:
                    self._say(found)
            await self._writer.flush()
        await self._writer.flush()

    async def _attempt(self) -> Found | None:
        if self._is_ending or self._has_changed:
            self._has_changed = False
            return (None, ())
        return await self._look(self._in_hand)

    async def _look(self, in_hand: dict[MessageId, None] | tuple[()]) -> Found | None:
        if not self.room:
            return None
        asking = self._asking
        if self._home.is_full:  # what is larger, the node pulls as it can
            asking = replace(asking, whole_bytes=SMALL_MESSAGE_BYTES)
        return await self._home.handing.look(asking, in_hand)

    def _ask_for(self, active: Sequence[RunId]) -> Asking:
        return Asking(self.node_id, active, whole_bytes=ENCLOSED_MESSAGE_BYTES)

    def _say(self, found: Found) -> bool:
        """Say with the next frame what was found; False when nothing was."""
        delivery, ended = found
        if delivery is not None:
            message_id = delivery.envelope.message_id
            self._says.deliveries.append(delivery)
            self._window.append(replace(delivery, contents={}))
            self._gathered_bytes += delivery.size_bytes
            self._home.leaving_bytes += delivery.size_bytes
            self._in_hand[message_id] = None
            if len(self._in_hand) > _MOST_IN_HAND:
                del self._in_hand[next(iter(self._in_hand))]
            self._handed += 1
        if ended:
            self._says.ended_runs.extend(ended)
            left = [run_id for run_id in self._asking.active if run_id not in ended]
            self._asking = self._ask_for(left)
        return delivery is not None

    def _next_frame(self) -> bytes | None:
        self._says.answers += self._taking.settled()
        if not self._says:
            return None
        count = fitting(self._says.deliveries)
        said, self._says = self._says, LinkSays(self._says.deliveries[count:])
        del said.deliveries[count:]
        self._leaving_bytes = sum(delivery.size_bytes for delivery in said.deliveries)
        return encode_link_frame(said)

    async def _write(self, frame: bytes) -> None:
        try:
            await self._rpc.write(frame)
        except grpc.aio.BaseError as cause:
            raise UnavailableError("the line broke") from cause
        self._gathered_bytes -= self._leaving_bytes
        self._home.leaving_bytes -= self._leaving_bytes
        self._leaving_bytes = 0

    # What the node says.

    async def _read(self) -> None:
        while (sealed := await self._receive()) is not None:
            if len(sealed) > LINE_FRAME_BYTES:
                raise InvalidError(f"a frame of a line has at most {LINE_FRAME_BYTES} bytes")
            said = decode_node_frame(self._seal.open(sealed))
            if await self._home.find_node(self._key) != self.node_id:
                raise NodeIdError
            self._note_heard()
            await self._take(said)

    async def _receive(self) -> bytes | None:
        try:
            message = await self._rpc.read()
        except grpc.aio.BaseError as cause:
            raise UnavailableError("the line broke") from cause
        return message if isinstance(message, bytes) else None

    async def _take(self, said: NodeSays) -> None:
        if len(said.replies) > LINE_REPLIES:
            raise InvalidError(f"a frame of a line has at most {LINE_REPLIES} replies")
        self._take_news(said)
        if said.received:
            for message_id in said.received:
                self._in_hand.pop(message_id, None)
            await self._home.at_once(
                self._home.messages.confirm_received, self.node_id, said.received
            )
        if said.replies:
            for message_id in await self._taking.take(said.replies):
                self._in_hand.pop(message_id, None)
        if said.asks:
            self._says.heard = True
            await self._writer.flush()

    async def _tell(self, answers: Sequence[Answer]) -> None:
        self._says.answers.extend(answers)
        with suppress(FlwrError):  # whoever reads meets the cause
            await self._writer.flush()

    def _take_news(self, said: NodeSays) -> None:
        """Note what changes what the node can be handed."""
        if not self._taken <= said.taken <= self._taken + len(self._window):
            raise InvalidError(
                "the node took more of its line than there was, or less than it said"
            )
        was_full = len(self._window) >= LINE_WINDOW
        del self._window[: said.taken - self._taken]
        self._taken = said.taken
        if said.active is not None:
            self._asking = self._ask_for(said.active)
        if said.active is not None or (was_full and len(self._window) < LINE_WINDOW):
            self._has_changed = True
            self._home.wakeups.ring({self._bell})

    def _note_heard(self) -> None:
        self._heard_at = now = self._loop.time()
        if self._noted_at < 0 or now - self._noted_at >= _NOTED_EVERY.total_seconds():
            self._noted_at = now
            self._home.presence.note(self.node_id, self._interval_s)


def _seen(ended: asyncio.Task[None]) -> None:
    if not ended.cancelled():
        ended.exception()
