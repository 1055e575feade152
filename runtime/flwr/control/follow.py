"""Following a run to its end through lost connections, without a gap or a repeat in its log."""

import random
from collections.abc import Callable, Generator, Iterator
from datetime import timedelta
from typing import Final

from flwr.control.api import Control
from flwr.core.clock import Clock
from flwr.core.errors import UnavailableError
from flwr.core.ids import RunId
from flwr.core.limits import CONTACT_LOST, RETRY_CAP, RETRY_FIRST
from flwr.core.run import Run, RunNotFoundError

FROM_THE_START: Final = 0.0
NOTHING: Final = (
    4_102_444_800.0  # 2100-01-01: later than any chunk, so a stream tells the end alone
)
QUIET_S: Final = 1.0  # a live log that says nothing this long has been read
_MARGIN_S: Final = 0.05  # gRPC's clock and ours may differ so much at the end
_LEAST_JITTER: Final = 0.5  # every delay is multiplied by a uniform 0.5..1


class RunNotEndedError(UnavailableError, TimeoutError):
    """The run did not end within the time given."""

    def __init__(self, run_id: RunId, timeout: timedelta) -> None:
        """Name the run and the time that was given."""
        super().__init__(
            f"run {run_id} has not ended within {timeout.total_seconds():g} s",
            hint="it goes on by itself: wait longer, or stop it",
        )
        self.run_id = run_id


def fetch_run(control: Control, run_id: RunId) -> Run:
    """Return the run as the SuperLink knows it now.

    Raises:
        RunNotFoundError: there is none of that id.
    """
    runs, _ = control.list_runs(run_id)
    for run in runs:
        if run.run_id == run_id:
            return run
    raise RunNotFoundError(run_id)


def log_so_far(control: Control, run_id: RunId, *, clock: Clock) -> Iterator[str]:
    """Yield what was logged before this call, and a little more.

    The stream of a run that goes on stays open: it has been read once it passes the present
    instant, or says nothing for a while.

    Raises:
        RunNotFoundError: there is none of that id.
        UnavailableError: the SuperLink does not answer.
    """
    _, now = control.list_runs(run_id)
    after, has_more = FROM_THE_START, True
    while has_more:
        has_more, began = False, clock.monotonic()
        try:
            for text, stamp in control.stream_logs(run_id, after, QUIET_S):
                after, has_more = stamp, True
                yield text
                if stamp > now.timestamp():
                    return
        except UnavailableError:
            if clock.monotonic() - began < QUIET_S - _MARGIN_S:
                raise
        else:
            return


class Follower:
    """Reads a run's log until the run has ended, resuming after the last chunk it saw.

    Args:
        control: the SuperLink.
        clock: measures patience and timeout.
        pause: waits so many seconds between attempts.
        on_loss: called once for each lost connection.
        patience: how long a SuperLink that has answered before may stay silent.
        timeout: how long the run may take to end, from the first attempt; None: for ever.
        after: stamp of the last chunk that is known already, or ``NOTHING`` to read none.
    """

    def __init__(
        self,
        control: Control,
        *,
        clock: Clock,
        pause: Callable[[float], None],
        on_loss: Callable[[], None],
        patience: timedelta = CONTACT_LOST,
        timeout: timedelta | None = None,
        after: float = FROM_THE_START,
    ) -> None:
        self._control, self._clock, self._pause = control, clock, pause
        self._on_loss = on_loss
        self._patience_s = patience.total_seconds()
        self._timeout = timeout
        self._until: float | None = None  # reading of the clock
        self._after = after
        self._delay_s = 0.0
        self._silent_since: float | None = None
        self._has_answered = False

    @property
    def last_stamp(self) -> float:
        """Stamp of the last chunk seen: the SuperLink's time when it got it, in seconds."""
        return self._after

    def until_end(
        self, run_id: RunId, *, emit: Callable[[str], None], answered_before: bool = False
    ) -> Run:
        """Hand each chunk to ``emit`` and return the run once it is final; see ``chunks``."""
        chunks = self.chunks(run_id, answered_before=answered_before)
        while True:
            try:
                emit(next(chunks))
            except StopIteration as end:
                run: Run = end.value
                return run

    def chunks(self, run_id: RunId, *, answered_before: bool = False) -> Generator[str, None, Run]:
        """Yield what is logged; return the run once it is final.

        Args:
            run_id: the run.
            answered_before: the SuperLink is known to work, so even the first failure is retried.

        Raises:
            RunNotFoundError: there is none of that id.
            RunNotEndedError: it has not ended within the timeout.
            UnavailableError: the SuperLink did not answer at first, or for ``patience``.
        """
        self._has_answered = self._has_answered or answered_before
        if self._timeout is not None:
            self._until = self._clock.monotonic() + self._timeout.total_seconds()
        while True:
            try:
                run = yield from self._attempt(run_id)
            except UnavailableError:
                if not self._is_late() and (not self._has_answered or self._has_lost_patience()):
                    raise
            else:
                if run.is_final:
                    return run
                self._has_answered, self._silent_since = True, None
            self._wait(run_id)

    def _attempt(self, run_id: RunId) -> Generator[str, None, Run]:
        for text, stamp in self._control.stream_logs(run_id, self._after, self._remaining_s()):
            self._delay_s, self._silent_since, self._has_answered = 0.0, None, True
            if stamp > self._after:  # a server that starts over never repeats anything to the user
                self._after = stamp
                yield text
        return fetch_run(self._control, run_id)

    def _has_lost_patience(self) -> bool:
        now = self._clock.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            self._on_loss()
        return now - self._silent_since > self._patience_s

    def _remaining_s(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - self._clock.monotonic())

    def _is_late(self) -> bool:
        remaining_s = self._remaining_s()
        return remaining_s is not None and remaining_s < _MARGIN_S

    def _wait(self, run_id: RunId) -> None:
        if self._timeout is not None and self._is_late():
            raise RunNotEndedError(run_id, self._timeout)
        doubled = max(RETRY_FIRST.total_seconds(), 2 * self._delay_s)
        self._delay_s = min(doubled, RETRY_CAP.total_seconds())
        jitter = random.uniform(_LEAST_JITTER, 1.0)  # noqa: S311 - spreads retries, guards nothing
        delay_s, remaining_s = self._delay_s * jitter, self._remaining_s()
        self._pause(delay_s if remaining_s is None else min(delay_s, remaining_s))
