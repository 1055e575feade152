import subprocess
import sys

import pytest


@pytest.mark.parametrize("unneeded", ["pathspec", "flwr.fab", "grpc", "sqlalchemy", "numpy"])
def test_a_command_loads_only_what_it_needs(unneeded: str) -> None:
    loaded = "import sys, flwr.cli.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert unneeded not in done.stdout.split()


@pytest.mark.parametrize("absent", ["yaml", "sqlalchemy", "numpy", "Crypto"])
def test_a_superlink_is_reached_without_what_the_image_of_the_command_lacks(absent: str) -> None:
    code = f"""
import sys
sys.modules[{absent!r}] = None
from flwr.control.api import open_control
from flwr.control.connection import Connection
from flwr.cli import main
from pathlib import Path
there = Connection(name="x", address="127.0.0.1:1", insecure=True, source="test")
with open_control(there, Path("absent.yaml")):
    pass
"""
    subprocess.run([sys.executable, "-c", code], check=True)
