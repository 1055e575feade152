"""The duty of process 1 of a container: to wait for processes whose parents are gone.

Without ``docker run --init`` a program of ours is process 1, and the kernel hands it every orphan.
One that nobody waits for stays a zombie and takes a process id for ever.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

from flwr.shell.children import own_children

_INIT: Final = 1
_OUR_OWN_TURN: Final = timedelta(milliseconds=200)  # until asyncio has waited for a child of ours


@contextmanager
def orphans_reaped(*, pid: int | None = None) -> Iterator[None]:
    """Wait for orphans while the block runs, if we are process 1; call it inside the event loop.

    Args:
        pid: ours; another number only in tests.
    """
    if (os.getpid() if pid is None else pid) != _INIT:
        yield
        return
    loop = asyncio.get_running_loop()

    def look() -> None:
        if _reap():
            loop.call_later(_OUR_OWN_TURN.total_seconds(), look)

    loop.add_signal_handler(signal.SIGCHLD, look)
    look()
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGCHLD)


def _reap() -> bool:
    """Wait for every orphan that has ended; True when a child of ours is in the way."""
    with suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return False
            if own_children.may_be_ours(ended.si_pid):
                return True
            os.waitpid(ended.si_pid, 0)
    return False
