"""What is given where this is executed."""

import importlib
import os
import shutil
import subprocess
from pathlib import Path

SECRETS = Path("/run/app-secrets")


def look(config) -> dict[str, str]:
    """Return everything by a short name; what is not there is called missing."""
    found = {name: importlib.import_module(name).__version__ for name in _words(config["packages"])}
    for name in _words(config["command"]):
        path = shutil.which(name)
        found[name] = subprocess.check_output([path], text=True).strip() if path else "missing"
    found["GREETING"] = os.environ.get("GREETING", "missing")
    token = SECRETS / "token"
    found["token"] = token.read_text() if token.exists() else "missing"
    for place in ("/mnt/out", "/mnt/in", "/mnt/data"):
        found[place] = write(Path(place))
    return found


def write(folder: Path) -> str:
    """Try to leave a file in a folder."""
    if not folder.exists():
        return "missing"
    try:
        (folder / "model.txt").write_text("weights")
    except OSError as error:
        return str(error.strerror)
    return "written"


def _words(text) -> list[str]:
    return str(text).split()
