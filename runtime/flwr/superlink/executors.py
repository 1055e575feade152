"""Whether anybody is there to launch ServerApps; kept in memory, since it is about this moment."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.core.run import Run, RunStatus

_FORGIVEN: Final = timedelta(seconds=10)  # between two of a SuperExec's polls
_NOBODY: Final = (
    "waiting for a SuperExec: none is connected to the ServerAppIo API; "
    "start flower-superexec --plugin-type serverapp"
)
_BUSY: Final = "waiting for a SuperExec to have room"


class Executors:
    """Counts the SuperExecs that wait for launches."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting = 0
        self._seen_at_s: float | None = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Note that one asks for launches for as long as the block runs."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            self._seen_at_s = self._clock.monotonic()

    def explain(self, run: Run, *, others_run: bool) -> Run:
        """Return ``run`` with the reason why it is pending, if it is.

        Args:
            run: any run.
            others_run: some run has its ServerApp; a SuperExec that is full does not ask for more.
        """
        if run.status is not RunStatus.PENDING:
            return run
        return replace(run, details=_BUSY if others_run or self._is_somebody_there else _NOBODY)

    @property
    def _is_somebody_there(self) -> bool:
        if self._waiting:
            return True
        if self._seen_at_s is None:
            return False
        return self._clock.monotonic() - self._seen_at_s < _FORGIVEN.total_seconds()
