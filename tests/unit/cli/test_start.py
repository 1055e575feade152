import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "bench" / "app"


@pytest.mark.parametrize("unneeded", ["pathspec", "flwr.fab", "grpc", "sqlalchemy", "numpy"])
def test_a_command_loads_only_what_it_needs(unneeded: str) -> None:
    loaded = "import sys, flwr.cli.main; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    assert unneeded not in done.stdout.split()


@pytest.mark.parametrize("absent", ["yaml", "sqlalchemy", "numpy", "Crypto", "cryptography"])
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


def test_one_command_does_not_load_the_others() -> None:
    loaded = """
import sys
from flwr.cli.main import main
try:
    main(["run", "--help"])
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True
    )
    others = {"new", "list", "log", "federation", "supernode", "app", "config", "local"}
    assert not {f"flwr.cli.{name}" for name in others} & set(done.stderr.split())


def test_a_log_in_a_pipe_needs_no_terminal_library() -> None:
    code = """
import sys
sys.modules["rich"] = None
from flwr.cli import live, log, tables
assert not tables.wants_colours()
"""
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)


def test_an_app_without_patterns_is_bundled_without_a_library_for_them(tmp_path: Path) -> None:
    code = f"""
import sys
sys.modules["pathspec"] = None
from pathlib import Path
from flwr.fab.build import build_fab
build_fab(Path({str(APP)!r}))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
