"""The command line, as people and scripts use it: no traceback, a remedy, an exit code."""

import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from certs.commands import main
from certs.identities import new_node_key

PKI = Path(__file__).resolve().parents[3] / "certs" / "pki.py"
IS_ROOT = os.geteuid() == 0


def run(capsys: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    code = main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, out, err


def test_all_tells_names_days_and_the_cas_fingerprint(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    code, out, _ = run(capsys, "all", "--out", root, "--san", "hub.example", "--nodes", "1")
    _, again, _ = run(capsys, "all", "--out", root, "--nodes", "1")

    assert code == 0
    assert "hub.example; 396 days left" in out
    assert "CA fingerprint (SHA-256): " in out
    assert "wrote certs/supernode-1: node.key" in out
    assert again.startswith("nothing to do: ")


def test_names_say_how_many_nodes_there_are(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    args = ("all", "--out", root, "--format", "json", "--names", "a,b,c")
    facts = json.loads(run(capsys, *args)[1])
    refused = run(capsys, *args, "--nodes", "2")

    assert [node["number"] for node in facts["nodes"]] == [1, 2, 3]
    assert {change["why"] for change in facts["changes"]} > {"new", "new authority"}
    assert refused[0] == 2
    assert "3 names are given for 2 nodes" in refused[2]


def test_a_site_prints_what_has_to_travel_and_the_server_takes_it_from_a_pipe(
    capsys: pytest.CaptureFixture[str],
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run(capsys, "all", "--out", root, "--nodes", "0")
    ca = root / "user" / "ca.crt"
    _, out, _ = run(capsys, "site", "--out", tmp_path / "s", "--name", "hospital-a", "--ca", ca)
    (line,) = (text for text in out.splitlines() if text.startswith("ecdsa-"))

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(f"{line}\n".encode())))
    code, said, _ = run(capsys, "add-node", "--out", root, "-")

    assert code == 0
    assert line.endswith(" hospital-a")
    fingerprint = next(t for t in out.splitlines() if t.startswith("SHA256:"))
    assert said.startswith(f"{fingerprint} hospital-a added to ")
    assert "flwr supernode register" in said
    assert line in (root / "superlink" / "node-keys.pub").read_text()
    public = tmp_path / "s" / "supernode-1" / "node.pub"
    assert "is already on" in run(capsys, "add-node", "--out", root, public)[1]


def test_check_exits_with_1_within_the_limit(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    run(capsys, "all", "--out", root, "--nodes", "1")

    assert run(capsys, "check", "--out", root)[0] == 0
    code, out, _ = run(capsys, "check", "--out", root, "--warn-days", "400")
    assert code == 1
    assert "expiring: " in out
    assert f"what to do: pki.py renew-server --out {root}" in out
    facts = json.loads(run(capsys, "check", "--out", root, "--format", "json")[1])
    assert facts["fine"] is True
    assert facts["listed-nodes"] == 1


def test_renewal_says_that_daemons_follow(capsys: pytest.CaptureFixture[str], root: Path) -> None:
    run(capsys, "all", "--out", root, "--nodes", "0")

    code, out, _ = run(capsys, "renew-server", "--out", root, "--san", "hub.example")

    assert code == 0
    assert "names added: hub.example" in out
    assert "show the new ones" in out


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["all", "--san", "bücher.example"], 2),
        (["all", "--san", "hub:9092"], 2),
        (["all", "--names", "a,a"], 2),
        (["site", "--name", "a b"], 2),
        (["site", "--name", "a"], 2),
        (["site", "--name", "a", "--ca", "/nowhere/ca.crt"], 4),
        (["check"], 4),
        (["renew-server"], 4),
        (["add-node", "/nowhere/node.pub"], 3),
        (["add-node", "/"], 3),
    ],
)
def test_bad_input_is_a_cause_and_a_remedy(
    capsys: pytest.CaptureFixture[str], root: Path, args: Sequence[str], code: int
) -> None:
    found, out, err = run(capsys, *args, "--out", root)

    assert (found, out) == (code, "")
    assert err.startswith("pki.py: error: ")
    assert "\n  what to do: " in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize(
    "args",
    [[], ["al"], ["all", "--nodes", "-1"], ["all", "--nodes", "x"], ["all", "--nodes", "1001"],
     ["site"], ["site", "--name", "a", "--number", "0"], ["add-node"], ["all", "--forc"]],
)  # fmt: skip
def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str], args: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    assert ended.value.code == 2
    assert "usage: pki.py" in capsys.readouterr().err


def test_a_private_key_sent_by_mistake_is_named_as_one(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    run(capsys, "all", "--out", root, "--nodes", "0")
    (tmp_path / "mail").write_bytes(new_node_key())

    code, _, err = run(capsys, "add-node", "--out", root, tmp_path / "mail")

    assert code == 2
    assert "must never travel" in err
    assert "BEGIN" not in err


def test_a_file_in_the_folders_place_is_told(
    capsys: pytest.CaptureFixture[str], root: Path
) -> None:
    root.write_text("here first")

    assert run(capsys, "all", "--out", root)[0] == 2
    assert root.read_text() == "here first"


def test_bytes_that_are_no_text_are_told(
    capsys: pytest.CaptureFixture[str], root: Path, tmp_path: Path
) -> None:
    run(capsys, "all", "--out", root, "--nodes", "0")
    (tmp_path / "key.pub").write_bytes(b"\xff\xfe\x00")

    code, _, err = run(capsys, "add-node", "--out", root, tmp_path / "key.pub")

    assert code == 2
    assert "is not text" in err


# -- as a program of its own ------------------------------------------------------------------


@pytest.mark.row("S52")
def test_it_runs_from_anywhere_by_environment_and_without_the_runtime(tmp_path: Path) -> None:
    env = {"FLWR_CERTS_DIR": str(tmp_path / "certs"), "PYTHONSAFEPATH": "1"}
    probe = (
        f"import runpy, sys; sys.argv = ['pki.py', 'all', '--nodes', '1'];\n"
        f"try: runpy.run_path({str(PKI)!r}, run_name='__main__')\n"
        "except SystemExit as e: print(e.code, 'flwr' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", probe],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.stdout.splitlines()[-1] == "0 False", done.stderr
    assert (tmp_path / "certs" / "supernode-1" / "node.key").exists()


def test_without_cryptography_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ModuleNotFoundError(name='cryptography')")
    done = subprocess.run(
        [sys.executable, str(PKI), "all"],
        env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert "`cryptography` is not installed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """Let a block run as a user who is not root, as far as files are concerned."""

    @contextmanager
    def become() -> Iterator[None]:
        os.setegid(65534)
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(0)

    return become


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
def test_somebody_else_is_told_how_containers_get_to_read_and_who_owns_what(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    as_nobody: Callable[[], AbstractContextManager[None]],
) -> None:
    folder = tmp_path / "certs"
    folder.mkdir()
    base = Path(tempfile.gettempdir())
    for parent in (tmp_path, *tmp_path.parents):
        if base in parent.parents:
            parent.chmod(0o755)  # pytest's own folders are root's alone
    os.chown(folder, 65534, 65534)

    with as_nobody():
        code, out, err = run(capsys, "all", "--out", folder, "--nodes", "1")
    assert code == 0, err
    assert "containers run as uid 10001 and cannot read" in out
    assert (folder / "superlink" / "server.key").stat().st_mode & 0o777 == 0o600

    assert run(capsys, "all", "--out", folder, "--nodes", "1")[0] == 0  # root: owners are set
    with as_nobody():
        code, _, err = run(capsys, "all", "--out", folder, "--nodes", "2")
        checked = run(capsys, "check", "--out", folder)
    assert code == 3
    assert "Permission denied" in err
    assert "what to do: the files belong to somebody else" in err
    assert checked[0] in {1, 3}
