"""The name that ``ps -o comm`` and ``top`` show of a process; its command line stays as it is."""

import os
import sys
from typing import Final

_OWN_NAME: Final = "/proc/self/comm"  # a file, since ctypes has a fork copy 100 pages of memory
STANDS_BY: Final = "flwr-stand-by"
"""Of a ServerApp's runner, and its app's process, that have no launch yet."""

_LONGEST: Final = 15  # bytes, without the final zero


def name_process(name: str) -> None:
    """Name this process, its main thread to be exact; Linux only."""
    if sys.platform == "linux":
        try:
            descriptor = os.open(_OWN_NAME, os.O_WRONLY)
        except OSError:  # nobody needs it
            return
        os.write(descriptor, name.encode()[:_LONGEST])
        os.close(descriptor)
