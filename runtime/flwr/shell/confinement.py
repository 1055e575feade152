"""What an app's process may not see of those who started it (docs/adr/0009).

An app runs as the user of its executor, so permissions of files do not keep them apart.  The
executor plans once and says what is not kept; the app's process confines itself before it loads
project code; executor and runner lock their own memory.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.shell.landlock import (
    LandlockError,
    enter_domain,
    make_domain,
    restrict_reading,
    why_unavailable,
)

_PR_SET_DUMPABLE: Final = 4  # prctl(2)
_ROOT: Final = Path("/")


@dataclass(frozen=True, slots=True)
class Plan:
    """What an executor keeps from its apps: a directory, and a warning about what it cannot."""

    withheld: Path | None = None
    warning: str | None = None


def plan(secret_file: Path | None) -> Plan:
    """Decide whether the directory of ``secret_file`` can be kept from apps."""
    if (why := why_unavailable()) is not None:
        known = secret_file or "other apps' files"
        return Plan(warning=f"apps can read what this user can, also {known}: {why}")
    if secret_file is None:
        return Plan()
    directory = secret_file.absolute().parent.resolve()
    if (why := _why_not_withhold(directory, secret_file)) is not None:
        return Plan(warning=f"apps can read {secret_file}: {why}")
    return Plan(withheld=directory)


def confine_app(withheld: Path | None) -> None:
    """Confine this process, the app's own, and all that it will start.

    Raises:
        LandlockError: ``withheld`` can be read all the same; None asks for nothing but what can be
            had: a kernel without Landlock is no error then.
    """
    readable = [_ROOT] if withheld is None else readable_beside(withheld)
    try:
        restrict_reading(readable)
    except LandlockError:
        if withheld is not None:
            raise


def make_fence() -> int | None:
    """Return what keeps forks of this process apart from each other; None where nothing can.

    To be called before forks, so that each pays for ``enter_fence`` only.
    """
    try:
        return make_domain([_ROOT])
    except LandlockError:
        return None


def enter_fence(fence: int | None) -> None:
    """Set this process apart from all that did not come from it, for ever."""
    if fence is not None:
        try:
            enter_domain(fence)
        except LandlockError:  # then it is not kept apart, as without a fence
            pass
        finally:
            os.close(fence)


def forbid_inspection() -> None:
    """Keep this user's other processes out of our memory, and our memory out of core files."""
    if sys.platform == "linux":
        off = ctypes.c_ulong(0)
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, off, off, off, off)


def readable_beside(withheld: Path) -> list[Path]:
    """Return what has to be readable so that everything is, except what lies in ``withheld``.

    These are the siblings of the directory and of each one above it.  Links are left out: what they
    lead to counts, and that is somewhere else.
    """
    return [entry for child in (withheld, *withheld.parents) for entry in _siblings(child)]


def _siblings(path: Path) -> Iterator[Path]:
    if path == path.parent:
        return
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name != path.name and not entry.is_symlink():
                yield Path(entry.path)


def _why_not_withhold(directory: Path, secret_file: Path) -> str | None:
    if not secret_file.resolve().is_relative_to(directory):
        return "it is a link to another directory"
    for place in _needed_by_apps():
        if place.is_relative_to(directory):
            return f"{place} is in its directory; give the secret a directory of its own"
    for parent in directory.parents:
        if not os.statvfs(parent).f_flag & os.ST_RDONLY:
            # What is made there later could not be read by apps that run already.
            return f"{parent} is not on a read-only file system, as in a hardened container"
    return None


def _needed_by_apps() -> list[Path]:
    places = [sys.prefix, sys.base_prefix, *sys.path]
    places += [os.environ.get(name, "") for name in ("HOME", "FLWR_HOME", "TMPDIR")]
    return [Path(place).resolve() for place in places if place]
