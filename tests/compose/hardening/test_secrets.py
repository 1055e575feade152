"""A secret is a file in one container's folder; these are the places where it must not be."""

import hashlib
import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from certs.layout import PUBLIC_SUFFIXES
from images.inputs import ROLES, local_image

from tests.compose.deployment import Deployment
from tests.compose.hardening.conftest import Confined, Watched
from tests.harness.toolset import ROOT

# Who holds which private file, as docs/adr/0008 and `make certs` have it.
HOLDERS: Final = {
    "ca/ca.key": set(),
    "ca/appio-superlink.key": set(),
    "ca/appio-supernode-1.key": set(),
    "superlink/server.key": {"superlink"},
    "superlink/appio.key": {"superlink"},
    "superlink/superexec-secret": {"superlink", "serverapp"},
    "serverapp/superexec-secret": {"superlink", "serverapp"},
    "supernode-1/node.key": {"supernode-1"},
    "supernode-1/appio.key": {"supernode-1"},
    "supernode-1/superexec-secret": {"supernode-1", "clientapp-1"},
    "clientapp-1/superexec-secret": {"supernode-1", "clientapp-1"},
    "supernode-2/node.key": {"supernode-2"},
    "clientapp-2/superexec-secret": {"supernode-2", "clientapp-2"},
}  # fmt: skip
KEY_BLOCK: Final = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{64,}")
CREDENTIAL: Final = re.compile(r"://[^/\s]*@|pip\.conf|index-url|password|secret=", re.IGNORECASE)
CHUNK: Final = 8 << 20
OVERLAP: Final = 4096  # longer than any secret


def private_files(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if path.suffix not in PUBLIC_SUFFIXES and path.name[0] != "."]


def secrets_in(folder: Path) -> list[str]:
    """Return every line of secret material: what must not turn up elsewhere."""
    lines = itertools.chain.from_iterable(p.read_text().split() for p in private_files(folder))
    return sorted({line for line in lines if len(line) >= 20 and not line.startswith("-----")})


def middle_line(file: Path) -> bytes:
    """Return one line that is this secret's alone: ends and beginnings of keys are alike."""
    body = [line for line in file.read_bytes().split() if b"-----" not in line and len(line) > 20]
    return body[len(body) // 2]


def found_in(text: str, secrets: list[str]) -> list[str]:
    return [f"{secret[:6]}..." for secret in secrets if secret in text]


@pytest.fixture(scope="module")
def secrets(deployment: Deployment) -> list[str]:
    found = secrets_in(deployment.certs)
    assert len(found) > 20
    return found


@pytest.mark.row("S54")
@pytest.mark.parametrize("file", HOLDERS)
def test_a_secret_is_read_by_its_own_container_and_no_other(
    containers: dict[str, Confined], deployment: Deployment, file: str
) -> None:
    digest = hashlib.sha256((deployment.certs / file).read_bytes()).hexdigest()
    holders = {name for name, c in containers.items() if digest in c.facts["secrets"].values()}
    assert holders == HOLDERS[file]


@pytest.mark.row("S54")
def test_on_the_host_secrets_are_for_root_and_their_reader_alone(deployment: Deployment) -> None:
    for path in private_files(deployment.certs):
        assert path.stat().st_mode & 0o7 == 0, path
        assert path.stat().st_mode & 0o20 == 0, path


@pytest.mark.row("S54")
def test_the_engine_shows_no_secret_and_no_setting_carries_one(
    containers: dict[str, Confined], secrets: list[str]
) -> None:
    for name, container in containers.items():
        assert not found_in(json.dumps(container.inspected), secrets), name
        for setting in container.inspected["Config"]["Env"]:
            variable, _, value = setting.partition("=")
            if any(word in variable for word in ("SECRET", "PASSWORD", "TOKEN", "KEY")):
                assert value.startswith(("/run/secrets/", "/run/database/")), (name, variable)


@pytest.mark.row("S54")
def test_while_an_app_runs_no_argument_environment_or_log_carries_a_secret(
    watched: Watched, deployment: Deployment, secrets: list[str]
) -> None:
    assert {name for name, _ in watched.seen} >= {"superlink", "supernode-1", "clientapp-1"}
    for name, shown in watched.seen:
        assert not found_in(shown, secrets), name
    for name in deployment.project.services():
        assert not found_in(deployment.project.logs(name), secrets), name
    assert not found_in(deployment.log_of(watched.run_id), secrets)


@pytest.mark.row("S54")
def test_an_app_finds_no_secret_in_what_its_processes_show_it(
    watched: Watched, secrets: list[str]
) -> None:
    assert sorted(watched.met) == ["0", "1", "2", "server"]
    for who, seen in watched.met.items():
        assert not found_in(json.dumps(seen), secrets), who
        runtime = {n for n in seen["environment"] if n.startswith("FLWR_")}
        assert runtime <= {"FLWR_HOME", "FLWR_LOG_LEVEL"}, who
        tokens = [c for c, _ in seen["processes"].values() if re.search(r"--token(?!-stdin)", c)]
        assert not tokens, who


def test_no_image_contains_a_key(deployment: Deployment) -> None:
    own = [folder for folder in (ROOT / ".state" / "certs",) if folder.exists()]
    files = [f for folder in (deployment.certs, *own) for f in folder.glob("*/superexec-secret")]
    keys = [deployment.certs / "ca" / "ca.key", deployment.certs / "supernode-1" / "node.key"]
    wanted = {middle_line(file) for file in (*files, *keys)}
    authorities = 0
    for chunk in saved([local_image(ROOT, role) for role in ROLES]):
        assert not KEY_BLOCK.search(chunk)
        assert not [secret for secret in wanted if secret in chunk]
        authorities += chunk.count(b"-----BEGIN CERTIFICATE-----")
    assert authorities > 50, "the layers were searched as they are, not compressed"


def test_no_step_of_an_image_names_a_credential() -> None:
    for role in ROLES:
        show = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}"]
        steps = subprocess.run(
            [*show, local_image(ROOT, role)], check=True, capture_output=True, text=True
        ).stdout
        assert not CREDENTIAL.search(steps), role


def saved(images: list[str]) -> Iterator[bytes]:
    """Yield the images' files, every layer once, in pieces that overlap."""
    with subprocess.Popen(["docker", "save", *images], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        tail = b""
        while piece := saving.stdout.read(CHUNK):
            yield tail + piece
            tail = piece[-OVERLAP:]
    assert saving.returncode == 0
