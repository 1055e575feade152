"""Nodes that should not get in, all at the same door at the same time."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.compose.deployment import Deployment
from tests.compose.project import Project
from tests.compose.trust.refusals import Refusal, await_refusal
from tests.harness.federation import CONNECTION
from tests.harness.toolset import ROOT

NODE: Final = "supernode-1"
WITHOUT_TLS: Final = "overlays/without-tls.site.yaml"

# Which refusal: exit code, cause and remedy, as the site's administrator reads them.
EXPECTED: Final = {
    "wrong authority": (3, "was not issued by the given authority", "--root-certificates"),
    "wrong host name": (3, "is not for host", "use a name of the certificate"),
    "clear text to TLS": (3, "speaks TLS, this side was told --insecure", "drop --insecure"),
    "TLS to clear text": (3, "speaks clear text, this side expects TLS", "--insecure"),
    "unknown key": (5, "the SuperLink refuses this node", "flwr supernode register"),
}


def make_keys(*args: str) -> None:
    command = [sys.executable, str(ROOT / "certs" / "pki.py"), *args]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def clear_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A SuperLink without TLS."""
    root = tmp_path_factory.mktemp("clear")
    with Deployment(root, nodes=0, tls=False, files=["server.yaml"]) as server:
        server.project.up("superlink")
        yield server


@pytest.fixture(scope="module")
def strangers(
    deployment: Deployment, clear_server: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Project]:
    """One site for each way of being wrong."""
    keys = tmp_path_factory.mktemp("strangers")
    make_keys("all", "--nodes", "1", "--out", str(keys / "other"))
    authority = str(deployment.certs / "user" / "ca.crt")
    make_keys("site", "--name", "stranger", "--ca", authority, "--out", str(keys / "site"))

    def site(certs: Path, *overlays: str, number: str = "1", at: str | None = None) -> Project:
        port = deployment.fleet.split(":")[1]
        variables: Mapping[str, str] = {
            "FLWR_CERTS": str(certs),
            "FLWR_NODE_1_NUMBER": number,
            "FLWR_SUPERNODE_CPUS": "1.0",
            "FLWR_SUPERLINK": at or f"{deployment.bridge}:{port}",
        }
        return Project(keys, files=["site.yaml", *overlays], variables=variables)

    unlisted = gateway_of(deployment, "control")
    return {
        "wrong authority": site(keys / "other"),
        "wrong host name": site(
            deployment.certs, at=f"{unlisted}:{deployment.fleet.split(':')[1]}"
        ),
        "clear text to TLS": site(deployment.certs, WITHOUT_TLS),
        "TLS to clear text": site(
            deployment.certs,
            at=f"{clear_server.bridge}:{clear_server.fleet.split(':')[1]}",
        ),
        "unknown key": site(keys / "site"),
    }


def gateway_of(deployment: Deployment, network: str) -> str:
    """Return another address of this host, which the server's certificate does not name."""
    found = deployment.project.docker.network.inspect(f"{deployment.project.project}_{network}")
    assert found.ipam.config
    return str(found.ipam.config[0]["Gateway"])


@pytest.fixture(scope="module")
def refusals(strangers: dict[str, Project]) -> dict[str, Refusal]:
    """What became of each; their restart policy would go on knocking, so they are gone then."""

    def knock(project: Project) -> Refusal:
        with project:
            project.up(NODE, wait=False)
            return await_refusal(project, NODE)

    with ThreadPoolExecutor(max_workers=3) as threads:
        return dict(zip(strangers, threads.map(knock, strangers.values()), strict=True))


@pytest.mark.row("S30", "S31", "S33")
@pytest.mark.parametrize("stranger", EXPECTED)
def test_a_stranger_ends_with_cause_and_remedy_and_is_never_healthy(
    refusals: dict[str, Refusal], stranger: str
) -> None:
    code, cause, remedy = EXPECTED[stranger]
    met = refusals[stranger]
    assert met.code == code, met.log
    assert cause in met.log
    assert remedy in met.log
    assert "Traceback" not in met.log
    assert met.health != "healthy"


@pytest.mark.row("S33")
def test_the_server_logs_the_strangers_key_and_admits_nobody(
    refusals: dict[str, Refusal], deployment: Deployment
) -> None:
    log = deployment.project.log_entries("superlink")
    refused = {e["fingerprint"] for e in log if e.get("event") == "node-refused"}
    assert any(fingerprint in refusals["unknown key"].log for fingerprint in refused)
    nodes = deployment.flwr_json("supernode", "list", CONNECTION)["nodes"]
    assert [node["status"] for node in nodes] == ["online"] * 3
