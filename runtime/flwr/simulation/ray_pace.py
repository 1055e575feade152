"""How many jobs a worker gets at once, learned from how long they take."""

import threading
from typing import Final

BATCH_S: Final = 0.1  # what a batch should take: far more than handing it over does
MAX_BATCH: Final = 128  # jobs
_SHARES: Final = 2  # batches per worker that a full queue is cut into, so that all end together
_WEIGHT: Final = 0.5  # of the newest observation


class Pace:
    """Seconds per job, of all workers alike; safe for use by several threads."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._lock = threading.Lock()
        self._job_s: float | None = None  # None: nothing is known yet

    @property
    def ahead(self) -> int:
        """How many batches a worker has at once: one more than it works on, if jobs are short."""
        return 2 if self._job_s is not None and self._job_s < BATCH_S else 1

    def batch_size(self, waiting: int) -> int:
        """Return how many of so many waiting jobs a worker should get."""
        if self._job_s is None:
            return 1
        share = waiting // (_SHARES * self._workers)
        return max(1, min(int(BATCH_S / max(self._job_s, 1e-9)), MAX_BATCH, share))

    def note(self, jobs: int, work_s: float) -> None:
        """Learn from a batch."""
        with self._lock:
            now = work_s / jobs
            before = now if self._job_s is None else self._job_s
            self._job_s = now * _WEIGHT + before * (1 - _WEIGHT)
