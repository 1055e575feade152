"""Memory of this process lent to a daemon of this machine, which reads it by a pipe.

What goes into a socket is copied twice, the first time into pages that the kernel has to find for
it, which takes longer than the copies where free memory belongs to a hypervisor.  A pipe of Linux
can hold pages of the one who writes, and whoever reads copies from there.
"""

import ctypes
import errno
import os
import select
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from flwr.app.in_place import address_of
from flwr.app.parts import Place
from flwr.core.limits import HATCH_PATIENCE
from flwr.wire.hatch import HatchClosedError

_AT_ONCE: Final = 1_048_576  # bytes in the pipe: as many as who is not root may have
_WORTH_LENDING: Final = 65_536  # bytes; fewer are copied sooner
_NO_WAIT: Final = 2  # SPLICE_F_NONBLOCK, in Linux' fcntl.h
_PATIENCE_MS: Final = round(HATCH_PATIENCE.total_seconds() * 1000)


class _Range(ctypes.Structure):
    """An ``iovec``."""

    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t))


class Lending:
    """A pipe, and the end that is written to.

    What was written must stay as it is until the daemon says that it has all of it.

    Raises:
        OSError: there are too many files open.
    """

    def __init__(self) -> None:
        self.source, self._end = os.pipe()
        """What the daemon gets, by ``hand_over``."""
        self._vmsplice = _vmsplice()
        os.set_blocking(self._end, False)
        with suppress(ImportError, AttributeError, OSError):  # else it takes less at a time
            import fcntl  # noqa: PLC0415  (not there on every system)

            fcntl.fcntl(self._end, fcntl.F_SETPIPE_SZ, _AT_ONCE)
        self._writable = select.poll()
        self._writable.register(self._end, select.POLLOUT)

    def hand_over(self) -> None:
        """Forget the daemon's end: it has it."""
        if self.source >= 0:
            os.close(self.source)
        self.source = -1

    def close(self) -> None:
        """End the pipe."""
        self.hand_over()
        if self._end >= 0:
            os.close(self._end)
        self._end = -1

    def write(self, parts: Sequence[Place]) -> None:
        """Write parts, one after the other.

        Raises:
            HatchClosedError: the daemon does not read.
            OSError: it has gone.
        """
        for part in parts:
            left = memoryview(part)
            while left:
                if not self._writable.poll(_PATIENCE_MS):
                    raise HatchClosedError
                left = left[self._put(left) :]

    def _put(self, data: memoryview) -> int:
        """Write the beginning, as far as there is room; return how much that was."""
        if len(data) >= _WORTH_LENDING and self._vmsplice is not None:
            lent = self._lend(data)
            if lent is not None:
                return lent
            self._vmsplice = None
        try:
            return os.write(self._end, data)
        except BlockingIOError:
            return 0

    def _lend(self, data: memoryview) -> int | None:
        """Do the same without a copy; None: this system does not do that."""
        assert self._vmsplice is not None
        pages = _Range(address_of(data), len(data))
        count = self._vmsplice(self._end, ctypes.byref(pages), 1, _NO_WAIT)
        if count >= 0:
            return count
        failure = ctypes.get_errno()
        if failure == errno.EAGAIN:
            return 0
        if failure == errno.EPIPE:
            raise BrokenPipeError(failure, os.strerror(failure))
        return None


@lru_cache(1)
def _vmsplice() -> Callable[..., int] | None:
    """Return the call of the C library, None where there is none."""
    try:
        call: Any = ctypes.CDLL(None, use_errno=True).vmsplice
    except (OSError, AttributeError):
        return None
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint]
    call.restype = ctypes.c_ssize_t
    made: Callable[..., int] = call
    return made
