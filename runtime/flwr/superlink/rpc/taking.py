"""Replies of one line: stored as they come, answered for when they would survive a power cut."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final

from flwr.core.errors import FlwrError, InvalidError, UnauthenticatedError
from flwr.core.ids import MessageId, NodeId
from flwr.core.limits import AT_ONCE_BYTES, LINE_COMPANY, LINE_OWED, LINE_REPLIES
from flwr.core.message import Delivery
from flwr.core.settling import REPLIES
from flwr.shell.in_thread import NEVER_AT_ONCE, AtOnce, in_thread
from flwr.superlink.messages import MessageExchange
from flwr.wire.codec.lines import Answer
from flwr.wire.interceptors.errors import InternalFailureError

logger = logging.getLogger(__name__)

_COMPANY_S: Final = LINE_COMPANY.total_seconds()
_SETTLE_S: Final = REPLIES.at_the_end.total_seconds()


class ReplyTaking:
    """Takes the replies of one node.

    Args:
        node_id: whose.
        messages: where they go.
        at_once: stores small ones.
        tell: says answers to the node.
    """

    def __init__(
        self,
        node_id: NodeId,
        messages: MessageExchange,
        at_once: AtOnce,
        tell: Callable[[Sequence[Answer]], Awaitable[None]],
    ) -> None:
        self._node_id, self._messages, self._at_once = node_id, messages, at_once
        self._tell = tell
        self._owed: list[tuple[Answer, int]] = []  # not said before their commits are durable
        self._timer: asyncio.TimerHandle | None = None
        self._settling: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self.count = 0
        """Replies that came."""

    async def take(self, replies: Sequence[tuple[Delivery, float]]) -> list[MessageId]:
        """Store replies, each with its app's seconds; return the instructions that have one now.

        Raises:
            UnauthenticatedError: the node is none of ours any more.
            InvalidError: more came than may be on their way at a time.
        """
        self.count += len(replies)
        if len(replies) == 1:
            taken = [await self._accept(*replies[0])]
        else:  # where the store is slow, side by side
            taken = await asyncio.gather(*(self._accept(*reply) for reply in replies))
        is_awaited = any(answer.missing for answer, _ in self._owed)
        if is_awaited or len(replies) > 1 or len(self._owed) >= LINE_OWED:
            await self._settle()
        elif self._timer is None:
            # Nobody waits for it: often an instruction follows soon, and has waited for the disk.
            self._timer = self._loop.call_later(_COMPANY_S, self._settle_now)
        return [asked for asked in taken if asked is not None]

    def settled(self) -> list[Answer]:
        """Return answers that can be said by now, each once."""
        answers = []
        while self._owed and self._at_once.is_settled(self._owed[0][1]):
            answers.append(self._owed.pop(0)[0])
        return answers

    def close(self) -> None:
        """Answer no more."""
        if self._timer is not None:
            self._timer.cancel()
        for task in self._settling:
            task.cancel()

    async def _accept(self, reply: Delivery, runtime_s: float) -> MessageId | None:
        reply_id, accept = reply.envelope.message_id, self._messages.accept_reply
        at_once = self._at_once if reply.size_bytes <= AT_ONCE_BYTES else NEVER_AT_ONCE
        try:
            owing = at_once.owing(accept, self._node_id, reply, runtime_s=runtime_s)
            answered, commit = await owing
        except UnauthenticatedError:
            raise
        except Exception as error:  # noqa: BLE001 - the edge: every error ends here
            self._owed.append((_refusal(reply_id, error), 0))
            return None
        answer = Answer(reply_id, answered.missing)
        if answered.unsettled:
            self._begin(self._settle_files(answer, answered.unsettled))
        else:
            self._owed.append((answer, commit))
        return reply.envelope.reply_to

    def _settle_now(self) -> None:
        self._timer = None
        self._begin(self._settle())

    async def _settle(self) -> None:
        """Answer every reply that was taken, as soon as it is durable."""
        owed, self._owed = self._owed, []
        if not owed:
            return
        try:
            await self._at_once.settle(max(commit for _, commit in owed))
        except FlwrError as error:
            owed = [(Answer(answer.reply_id, refusal=error), 0) for answer, _ in owed]
        await self._tell([answer for answer, _ in owed])

    async def _settle_files(self, answer: Answer, unsettled: Sequence[str]) -> None:
        """Answer for files when they are durable; those that are collected by then never are."""
        await asyncio.sleep(_SETTLE_S)
        try:
            await in_thread(self._messages.settle, unsettled)
        except Exception as error:  # noqa: BLE001 - the edge: every error ends here
            answer = _refusal(answer.reply_id, error)
        await self._tell([answer])

    def _begin(self, settling: Coroutine[Any, Any, None]) -> None:
        if len(self._settling) > LINE_REPLIES:
            settling.close()
            raise InvalidError(f"a line has at most {LINE_REPLIES} replies on their way")
        task = self._loop.create_task(settling, name="line-settle")
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)


def _refusal(reply_id: MessageId, error: Exception) -> Answer:
    if not isinstance(error, FlwrError):
        logger.error("A reply failed by a bug", extra={"event": "bug"}, exc_info=error)
        error = InternalFailureError()
    return Answer(reply_id, refusal=error)
