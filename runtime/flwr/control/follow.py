"""Following a run to its end through lost connections, without a gap or a repeat in its log."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from flwr.control.api import Control
from flwr.core.clock import Clock
from flwr.core.errors import UnavailableError
from flwr.core.ids import RunId
from flwr.core.limits import CONTACT_LOST, RETRY_CAP, RETRY_FIRST
from flwr.core.run import Run, RunNotFoundError

_LEAST_JITTER: Final = 0.5  # every delay is multiplied by a uniform 0.5..1


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


class Follower:
    """Reads a run's log until the run has ended, resuming after the last chunk it saw."""

    def __init__(
        self,
        control: Control,
        *,
        clock: Clock,
        pause: Callable[[float], None],
        emit: Callable[[str], None],
        on_loss: Callable[[], None],
        patience: timedelta = CONTACT_LOST,
    ) -> None:
        self._control, self._clock, self._pause = control, clock, pause
        self._emit, self._on_loss = emit, on_loss
        self._patience_s = patience.total_seconds()
        self._after = 0.0  # stamp of the last chunk seen
        self._delay_s = 0.0
        self._silent_since: float | None = None
        self._has_answered = False

    def until_end(self, run_id: RunId, *, answered_before: bool = False) -> Run:
        """Return the run once it is final.

        Args:
            run_id: the run.
            answered_before: the SuperLink is known to work, so even the first failure is retried.

        Raises:
            RunNotFoundError: there is none of that id.
            UnavailableError: the SuperLink did not answer at first, or for ``patience``.
        """
        self._has_answered = self._has_answered or answered_before
        while True:
            try:
                run = self._attempt(run_id)
            except UnavailableError:
                if not self._has_answered or self._has_lost_patience():
                    raise
            else:
                if run.is_final:
                    return run
                self._has_answered, self._silent_since = True, None
            self._wait()

    def _attempt(self, run_id: RunId) -> Run:
        for text, stamp in self._control.stream_logs(run_id, self._after):
            self._delay_s, self._silent_since, self._has_answered = 0.0, None, True
            if stamp > self._after:  # a server that starts over never repeats anything to the user
                self._after = stamp
                self._emit(text)
        return fetch_run(self._control, run_id)

    def _has_lost_patience(self) -> bool:
        now = self._clock.monotonic()
        if self._silent_since is None:
            self._silent_since = now
            self._on_loss()
        return now - self._silent_since > self._patience_s

    def _wait(self) -> None:
        doubled = max(RETRY_FIRST.total_seconds(), 2 * self._delay_s)
        self._delay_s = min(doubled, RETRY_CAP.total_seconds())
        jitter = random.uniform(_LEAST_JITTER, 1.0)  # noqa: S311 - spreads retries, guards nothing
        self._pause(self._delay_s * jitter)
