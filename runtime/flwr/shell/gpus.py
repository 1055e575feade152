"""Which GPUs this process may use, by the names CUDA gives them."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_DEVICE: Final = re.compile(r"nvidia\d+")


def available_gpus(
    env: Mapping[str, str] = os.environ, devices: Path = Path("/dev")
) -> tuple[str, ...]:
    """Return the GPUs; somebody who set ``CUDA_VISIBLE_DEVICES`` has chosen among them."""
    chosen = env.get(VISIBLE)
    if chosen is None:
        count = sum(1 for entry in devices.iterdir() if _DEVICE.fullmatch(entry.name))
        return tuple(map(str, range(count)))
    names = [name.strip() for name in chosen.split(",")]
    # CUDA itself heeds the names before the first that is none.
    valid = next((i for i, name in enumerate(names) if name in {"", "-1"}), len(names))
    return tuple(names[:valid])
