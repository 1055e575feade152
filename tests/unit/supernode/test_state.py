import stat
import subprocess
import sys
from pathlib import Path

import pytest

from flwr.auth.node_keys import KeyFileError
from flwr.shell.private_files import StateDirError
from flwr.supernode.state import StateDirInUseError, own_key, state_directory


@pytest.mark.row("F4")
def test_a_kept_key_makes_the_node_restart_as_itself(tmp_path: Path) -> None:
    first = own_key(tmp_path)
    assert own_key(tmp_path).fingerprint == first.fingerprint
    assert stat.S_IMODE((tmp_path / "node.key").stat().st_mode) == 0o600


def test_a_damaged_key_is_told_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_bytes(b"no key")
    with pytest.raises(KeyFileError):
        own_key(tmp_path)


def test_two_nodes_cannot_share_a_state_directory(tmp_path: Path) -> None:
    with state_directory(tmp_path / "a"):
        with pytest.raises(StateDirInUseError), state_directory(tmp_path / "a"):
            pass
        with state_directory(tmp_path / "b") as other:
            assert other == tmp_path / "b"
    with state_directory(tmp_path / "a"):
        pass  # free again


def test_a_place_that_cannot_be_a_directory_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateDirError), state_directory(tmp_path / "file"):
        pass


def test_without_a_state_directory_nothing_is_left() -> None:
    with state_directory(None) as made:
        (made / "x").write_bytes(b"x")
    assert not made.exists()


@pytest.mark.row("S9")
def test_the_daemon_loads_neither_numpy_nor_user_code() -> None:
    look = "import sys, flwr.supernode.daemon; print({'numpy', 'flwr.app'} & sys.modules.keys())"
    found = subprocess.run([sys.executable, "-c", look], capture_output=True, check=True, text=True)
    assert found.stdout.strip() == "set()"
