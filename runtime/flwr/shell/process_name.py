"""The name that ``ps -o comm`` and ``top`` show of a process; its command line stays as it is."""

import ctypes
import sys
from typing import Final

_PR_SET_NAME: Final = 15  # prctl(2)
STANDS_BY: Final = "flwr-stand-by"
"""Of a ServerApp's runner, and its app's process, that have no launch yet."""

_LONGEST: Final = 15  # bytes, without the final zero


def name_process(name: str) -> None:
    """Name this process, its main thread to be exact; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, name.encode()[:_LONGEST] + b"\0")
