"""The PKI tool as a container: for machines that have Docker and nothing else."""

import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from certs.deployment import Deployment
from images.inputs import local_image

from flwr.auth.node_keys import load_node_key, load_public_keys
from tests.harness.toolset import ROOT

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="looks at files of several users")

IMAGE: Final = local_image(ROOT, "certs")
CONFINED: Final = ["--network", "none", "--read-only", "--cap-drop", "ALL"]
AS_ROOT: Final = ["--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "FOWNER"]


def pki(
    folder: Path, *args: str, flags: list[str] = AS_ROOT, said: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the tool with nothing but its folder."""
    argv = ["docker", "run", "--rm", "-i", *CONFINED, *flags, "-v", f"{folder}:/certs"]
    return subprocess.run(
        [*argv, IMAGE, *args], input=said, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "certs"
    folder.mkdir()
    return folder


@pytest.mark.row("S52")
def test_it_makes_what_containers_can_read_and_nobody_else(folder: Path) -> None:
    made = pki(folder, "all", "--nodes", "1", "--san", "hub.example")
    again = pki(folder, "all", "--nodes", "1")
    checked = pki(folder, "check")

    assert (made.returncode, made.stderr) == (0, "")
    assert again.stdout.startswith("nothing to do")
    assert checked.returncode == 0, checked.stdout
    assert "all is well" in checked.stdout
    for name, rights in {
        "superlink/server.key": (0, 10001, 0o640),
        "supernode-1/node.key": (0, 10001, 0o640),
        "serverapp/superexec-secret": (0, 10001, 0o640),
        "ca/ca.key": (0, 0, 0o600),
        "user/ca.crt": (0, 0, 0o644),
    }.items():
        found = (folder / name).stat()
        assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == rights, name
    reader = ["docker", "run", "--rm", *CONFINED, "-v", f"{folder}/superlink:/run/secrets:ro"]
    probe = "import pathlib; print(len(pathlib.Path('/run/secrets/server.key').read_bytes()) > 0)"
    said = subprocess.run(
        [*reader, "--entrypoint", "python3", local_image(ROOT, "superlink"), "-c", probe],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert said.stdout == "True\n", said.stderr


@pytest.mark.row("S52")
def test_it_mends_the_owners_of_what_was_made_on_the_host(folder: Path) -> None:
    pki(folder, "all", "--nodes", "1")
    key = folder / "superlink" / "server.key"
    content = key.read_bytes()
    os.chown(key, 1000, 1000)
    key.chmod(0o600)

    mended = pki(folder, "all", "--nodes", "1")

    assert "superlink: server.key (rights set to 0640)" in mended.stdout
    assert (key.stat().st_uid, key.stat().st_gid) == (0, 10001)
    assert key.read_bytes() == content


def test_as_somebody_else_its_files_are_theirs(folder: Path) -> None:
    os.chown(folder, 1234, 1234)

    done = pki(folder, "all", "--nodes", "1", flags=["--user", "1234:1234"])

    assert done.returncode == 0, done.stderr
    assert "cannot read" in done.stdout
    owners = {(p.stat().st_uid, p.stat().st_mode & 0o077) for p in folder.rglob("*.key")}
    assert owners == {(1234, 0)}


@pytest.mark.row("S33", "S52")
def test_a_sites_key_is_made_there_and_admitted_from_a_pipe(folder: Path, tmp_path: Path) -> None:
    pki(folder, "all", "--nodes", "0")
    site = tmp_path / "site"
    site.mkdir()
    ca = ["-v", f"{folder}/user/ca.crt:/ca.crt:ro", *AS_ROOT]

    made = pki(site, "site", "--name", "hospital-a", "--ca", "/ca.crt", flags=ca)
    line = (site / "supernode-1" / "node.pub").read_text()
    added = pki(folder, "add-node", "-", said=line)

    assert made.returncode == added.returncode == 0, made.stderr + added.stderr
    assert line.strip() in made.stdout
    own = load_node_key(site / "supernode-1" / "node.key")
    assert load_public_keys(folder / "superlink" / "node-keys.pub") == [own.public_pem]
    assert own.fingerprint in made.stdout
    assert own.fingerprint in added.stdout
    assert not any(p.name == "ca.key" for p in site.rglob("*"))


def test_host_and_container_agree_on_what_is_complete(folder: Path) -> None:
    pki(folder, "all", "--nodes", "2")

    on_host = Deployment(folder, now=datetime.now(UTC))
    on_host.make_all(hosts=None, names=["", ""])

    assert on_host.changes == []
