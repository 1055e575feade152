"""Whether a Docker engine answers on this machine; nothing here starts one."""

import shutil
import subprocess
from typing import Final

_ANSWER_S: Final = 20.0


def has_engine() -> bool:
    """Tell whether containers can be run."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(
            ["docker", "info"], capture_output=True, check=False, timeout=_ANSWER_S
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
