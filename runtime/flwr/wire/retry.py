"""Trying again: only what the peer could not take, with jittered pauses and a deadline.

A call that fails because the two sides disagree about TLS is not tried again: no pause repairs a
wrong certificate, so the cause is looked up and raised.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, TypeVar

from flwr.core.clock import Clock, SystemClock
from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.limits import RETRY_CAP, RETRY_FIRST
from flwr.wire.diagnose import TlsMismatchError

T = TypeVar("T")
OnWait = Callable[[FlwrError, timedelta], None]
Explain = Callable[[], FlwrError]

_HANDSHAKE_WORDS: Final = ("handshake", "ssl", "tls", "certificate")
_ASK_ANYWAY: Final = 3  # the failed attempt after which the cause is looked up whatever it says
_SHORTEST: Final = 0.5  # of each pause; the longest is all of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How one caller repeats its calls."""

    deadline: timedelta | None = None  # over all attempts and pauses; None: as long as it takes
    explain: Explain | None = None  # usually partial(diagnose.explain, address, tls); it blocks
    on_wait: OnWait | None = None  # told the failure and the pause, for a log line
    clock: Clock = field(default_factory=SystemClock)
    uniform: Callable[[float, float], float] = random.uniform

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the first success of ``attempt``; cancellable at any moment.

        Raises:
            TlsMismatchError: the peer and we disagree about TLS.
            FlwrError: any failure but UNAVAILABLE at once, that one at the deadline.
        """
        pauses, started, failures = self._pauses(), self.clock.monotonic(), 0
        while True:
            try:
                return await attempt()
            except FlwrError as error:
                failures += 1
                pause = self._pause_after(error, next(pauses), started)
                if self.explain is not None and _is_suspicious(error, failures):
                    _raise_if_mismatch(await asyncio.to_thread(self.explain), error)
            await asyncio.sleep(pause.total_seconds())

    def _pauses(self) -> Iterator[timedelta]:
        longest = RETRY_FIRST
        while True:
            yield longest * self.uniform(_SHORTEST, 1)
            longest = min(2 * longest, RETRY_CAP)

    def _pause_after(self, error: FlwrError, pause: timedelta, started: float) -> timedelta:
        """Return how long to wait; raise ``error`` when waiting would be wrong or too long."""
        if error.kind is not ErrorKind.UNAVAILABLE or isinstance(error, TlsMismatchError):
            raise error
        if self.deadline is not None:
            left = self.deadline - timedelta(seconds=self.clock.monotonic() - started)
            if left <= timedelta(0):
                raise error
            pause = min(pause, left)
        if self.on_wait is not None:
            self.on_wait(error, pause)
        return pause


def _is_suspicious(error: FlwrError, failures: int) -> bool:
    text = error.message.lower()
    return failures == _ASK_ANYWAY or (
        failures == 1 and any(word in text for word in _HANDSHAKE_WORDS)
    )


def _raise_if_mismatch(cause: FlwrError, error: FlwrError) -> None:
    if isinstance(cause, TlsMismatchError):
        raise cause from error
