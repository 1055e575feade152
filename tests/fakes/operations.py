"""Operations in threads, which go on when the tasks that asked for them are cancelled."""

import threading

from flwr.shell import in_thread

_PATIENCE_S = 60


def await_operations() -> None:
    """Wait until none is under way: what they use may be closed then."""
    pool = in_thread._POOL
    if not pool._threads:
        return
    meeting = threading.Barrier(pool._max_workers + 1, timeout=_PATIENCE_S)
    for _ in range(pool._max_workers):
        pool.submit(meeting.wait)
    meeting.wait()
