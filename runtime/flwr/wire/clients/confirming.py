"""What a line has to confirm: said once it is durable here, unless it is answered before."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from flwr.core.ids import MessageId
from flwr.core.limits import LINE_CONFIRMS

logger = logging.getLogger(__name__)

_AFTER_S: Final = LINE_CONFIRMS.total_seconds()

Secure = Callable[[], Awaitable[None]]
"""Has what was received so far survive a power cut; raises FlwrError when that is not to be had."""


class Confirmations:
    """The instructions of one line that are not confirmed yet.

    Args:
        secure: called before any of them is said to be here.
        say: told of those that are, and were not answered by then.
    """

    def __init__(self, secure: Secure, say: Callable[[Sequence[MessageId]], None]) -> None:
        self._secure, self._say = secure, say
        self._loop = asyncio.get_running_loop()
        self._open: dict[MessageId, float] = {}  # and when to say it
        self._timer: asyncio.TimerHandle | None = None
        self._saying: asyncio.Task[None] | None = None

    def add(self, message_ids: Sequence[MessageId]) -> None:
        """Say soon that they are here."""
        self._open.update(dict.fromkeys(message_ids, self._loop.time() + _AFTER_S))
        if self._timer is None and self._saying is None:
            self._wait()

    def forget(self, message_id: MessageId) -> None:
        """Note that one is answered, which says it, too."""
        self._open.pop(message_id, None)

    def close(self) -> list[MessageId]:
        """Say nothing more; return what should be said otherwise."""
        if self._timer is not None:
            self._timer.cancel()
        if self._saying is not None:
            self._saying.cancel()
        return list(self._open)

    def _wait(self) -> None:
        if self._open:
            self._timer = self._loop.call_at(min(self._open.values()), self._on_due)

    def _on_due(self) -> None:
        self._timer, now = None, self._loop.time()
        if due := [message_id for message_id, at in self._open.items() if at <= now]:
            self._saying = self._loop.create_task(self._say_all(due), name="confirm")
        else:
            self._wait()

    async def _say_all(self, due: Sequence[MessageId]) -> None:
        try:
            await self._secure()
        except Exception as error:  # noqa: BLE001 - whatever it is: it can be said later
            facts = {"event": "storage", "cause": str(error)}
            logger.warning("Cannot confirm instructions now", extra=facts)
            later = self._loop.time() + _AFTER_S
            self._open.update({one: later for one in due if one in self._open})
        else:
            here = [one for one in due if self._open.pop(one, None) is not None]
            if here:
                self._say(here)
        self._saying = None
        self._wait()
