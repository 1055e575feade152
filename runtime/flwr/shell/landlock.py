"""Landlock: a process gives up rights to files, for itself and all that it starts, for ever.

No root, no capability, Linux 5.13 or newer.  Python has no binding, so these are the three calls of
the kernel.  A process in such a domain can, besides, neither trace nor read the memory, environment
or descriptors of a process outside of it, whoever its user is.
"""

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

from flwr.core.errors import FlwrError

_CREATE_RULESET: Final = 444  # the same number on every architecture that Python runs on
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_TELL_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_READ_FILE: Final = 1 << 2
_REFER: Final = 1 << 13  # moving files between directories; since version 2, Linux 5.19
_MOVES_SINCE: Final = 2
_PR_SET_NO_NEW_PRIVS: Final = 38

_WHY_NOT: Final = {
    errno.ENOSYS: "this kernel has no Landlock: Linux 5.13 or newer has",
    errno.EOPNOTSUPP: "Landlock is switched off: add it to lsm= of the kernel's command line",
    errno.EPERM: "a seccomp profile forbids Landlock: Docker Engine 25 or newer allows it",
}


class LandlockError(FlwrError):
    """The kernel will not confine this process."""


def why_unavailable() -> str | None:
    """Return why Landlock cannot be used here, None when it can."""
    try:
        _version()
    except LandlockError as error:
        return str(error)
    return None


def restrict_reading(readable: Iterable[Path]) -> None:
    """Let this process read no file but those in ``readable``, with all below; for ever.

    Call it while there is one thread: others that already run stay as they are.  What is open stays
    open, listing directories and writing are as before, and set-user-id programs lose their power.

    Raises:
        LandlockError: the kernel does not do it; nothing is restricted.
    """
    ruleset = make_domain(readable)
    try:
        enter_domain(ruleset)
    finally:
        os.close(ruleset)


def make_domain(readable: Iterable[Path]) -> int:
    """Return the descriptor of a domain in which no file can be read but those in ``readable``.

    Raises:
        LandlockError: the kernel does not do it.
    """
    can_allow_moves = _version() >= _MOVES_SINCE
    # Before version 2 moves between directories fail as if between file systems, asked or not.
    handled = _READ_FILE | (_REFER if can_allow_moves else 0)
    attributes = ctypes.create_string_buffer(struct.pack("=Q", handled), 8)
    ruleset = _call(_CREATE_RULESET, attributes, 8, 0)
    try:
        if can_allow_moves:
            _allow(ruleset, Path("/"), _REFER)
        for path in readable:
            _allow(ruleset, path, _READ_FILE)
        _forgo_privileges()  # of this process, and of those that it forks
    except BaseException:
        os.close(ruleset)
        raise
    return ruleset


def enter_domain(ruleset: int) -> None:
    """Let this process enter a domain of its own made from ``make_domain``; for ever.

    Of several processes that enter with one descriptor none is in the domain of another.

    Raises:
        LandlockError: the kernel does not do it; nothing is restricted.
    """
    _call(_RESTRICT_SELF, ruleset, 0)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return  # gone meanwhile, or not ours to pass
    try:
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, descriptor), 12)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)


def _version() -> int:
    return _call(_CREATE_RULESET, None, 0, _TELL_VERSION)


def _call(number: int, *arguments: object) -> int:
    if sys.platform != "linux":
        raise LandlockError("only Linux has Landlock")
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    answer = int(_library().syscall(ctypes.c_long(number), *words))
    if answer < 0:
        code = ctypes.get_errno()
        raise LandlockError(_WHY_NOT.get(code) or f"Landlock failed: {os.strerror(code)}")
    return answer


def _forgo_privileges() -> None:
    """Give up what executing a set-user-id program would grant, as Landlock demands."""
    on = ctypes.c_ulong(1)
    off = ctypes.c_ulong(0)
    if _library().prctl(_PR_SET_NO_NEW_PRIVS, on, off, off, off) != 0:
        raise LandlockError(f"no_new_privs failed: {os.strerror(ctypes.get_errno())}")


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
