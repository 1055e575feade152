import subprocess
import sys

import pytest

_SHOW_CLIENTS = """
import sys
import flwr.cli.main
from flwr.cli import (
    build, federation, install, list, local_superlink, log, new, run, stop, supernode
)
print(*sorted(m for m in sys.modules if m.startswith(("flwr.wire.clients.", "flwr.supernode"))))
"""


@pytest.mark.row("S16")
def test_no_verb_can_speak_to_anything_but_the_control_api() -> None:
    """The command line does not even load a client of Fleet, ServerAppIo or ClientAppIo."""
    done = subprocess.run(
        [sys.executable, "-c", _SHOW_CLIENTS], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {"flwr.wire.clients.control", "flwr.wire.clients.deadlines"}
