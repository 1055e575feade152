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
