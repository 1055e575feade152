"""How large Ray's object store is made: within shared memory, whatever a container grants of it."""

import os
import shutil
from pathlib import Path
from typing import Final

from flwr.shell.memory import memory_limit

SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # no file of ours: Ray maps its store there
_OF_MEMORY: Final = 0.3  # as Ray has it
_OF_SHARED: Final = 0.9  # beyond that Ray would keep it on disk, or in the memory behind /tmp
_LEAST: Final = 80_000_000  # Ray takes no less


def store_size(shared: Path = SHARED_MEMORY) -> int:
    """Return a size in bytes.

    Args:
        shared: where shared memory is mounted.
    """
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    size = min(memory_limit() or physical, physical) * _OF_MEMORY
    if shared.is_dir():
        size = min(size, shutil.disk_usage(shared).free * _OF_SHARED)
    return max(int(size), _LEAST)
