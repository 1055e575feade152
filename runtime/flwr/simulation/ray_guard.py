"""Ends what a killed run leaves of its Ray: two of its agents would wait a minute for the rest.

A process of its own, which outlives the run by a moment.  Whoever holds a file in the run's own
folder belongs to its Ray.  Run as a file, with the standard library alone: it is there for as long
as the run, and nearly always for nothing.
"""

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_PROCESSES: Final = Path("/proc")


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Have the processes of a folder killed if this one dies before the block is left; Linux."""
    if sys.platform != "linux":
        yield
        return
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    )
    try:
        yield
    finally:
        guard.kill()
        guard.wait()


def main(run: int, folder: Path) -> None:
    """Wait until the run has ended, and end what is left."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(run)
        if os.getppid() == run:  # else it had ended, and the number may be another's
            select.select([handle], [], [])
    while dying := _kill_all(folder):
        for handle in dying:  # their own children may hold files, too
            select.select([handle], [], [])
            os.close(handle)
    shutil.rmtree(folder, ignore_errors=True)


def _kill_all(folder: Path) -> list[int]:
    """Kill whoever holds a file in ``folder``; return handles of those."""
    killed = []
    for entry in _PROCESSES.iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(int(entry.name))
            # Looked at with the handle in hand: then its number cannot be another's meanwhile.
            if _holds(entry, folder):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                killed.append(handle)
            else:
                os.close(handle)
    return killed


def _holds(process: Path, folder: Path) -> bool:
    return any(target.startswith(f"{folder}/") for target in _targets(process))


def _targets(process: Path) -> Iterator[str]:
    """Yield the paths of the files that a process has open."""
    with suppress(OSError):  # it has just ended, or is another user's
        for descriptor in (process / "fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                yield str(descriptor.readlink())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
