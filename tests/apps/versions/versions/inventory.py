"""What is installed where this is executed."""

import importlib
import shutil
import subprocess


def take(config) -> dict[str, str]:
    """Return the release of each package, by importing it, and what the command prints."""
    found = {}
    for package in str(config["packages"]).split():
        found[package] = str(importlib.import_module(package).__version__)
    if command := str(config["command"]):
        path = shutil.which(command)
        found[command] = subprocess.check_output([path], text=True).strip() if path else "missing"
    return found
