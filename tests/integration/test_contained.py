"""A federation whose programs live as in hardened containers: see ``tests.harness.contained``."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.apps import TINY, digest_in, quick
from tests.harness.contained import INSIDE, Confinement, bare
from tests.harness.federation import Federation
from tests.harness.program import Program, descendants, eventually
from tests.harness.toolset import OURS

SECRETS: Final = INSIDE / "certs"
HEALTH: Final = "/tmp/health"  # noqa: S108 - in a /tmp of its own
HOSTS: Final = {"control": "127.0.0.2", "serverappio": "127.0.0.3", "clientappio": "127.0.0.4"}


class Site:
    """The four programs of a federation with one node, each confined."""

    def __init__(self, federation: Federation, confinement: Confinement) -> None:
        self._federation, self._confinement = federation, confinement
        self._ports = {
            name: address.rpartition(":")[2]
            for name, address in (
                ("serverappio", federation.serverappio),
                ("control", federation.control),
                ("fleet", federation.fleet),
            )
        }
        federation.control = f"{HOSTS['control']}:{self._ports['control']}"
        self._clientappio = f"clientappio:{self._ports['fleet']}"  # on another address than Fleet

    def start(self) -> dict[str, Program]:
        own = {name: SECRETS / name for name in ("superlink", "serverapp", "supernode-1")}
        serverappio = f"serverappio:{self._ports['serverappio']}"
        link = ["--ssl-certfile", f"{own['superlink']}/server.crt"]
        link += ["--ssl-keyfile", f"{own['superlink']}/server.key"]
        link += ["--ssl-ca-certfile", f"{own['superlink']}/ca.crt"]
        link += ["--node-keys", f"{own['superlink']}/node-keys.pub"]
        link += ["--fleet-api-address", self._federation.fleet]
        link += ["--control-api-address", f"control:{self._ports['control']}"]
        link += ["--serverappio-api-address", serverappio, *_appio(own["superlink"])]
        link += ["--state-dir", str(self._confinement.directory("superlink-data"))]
        node = ["--root-certificates", f"{own['supernode-1']}/ca.crt"]
        node += ["--auth-supernode-private-key", f"{own['supernode-1']}/node.key"]
        node += ["--superlink", self._federation.fleet]
        node += ["--node-config", "partition-id=0 num-partitions=1"]
        node += ["--clientappio-api-address", self._clientappio, *_appio(own["supernode-1"])]
        node += ["--state-dir", str(self._confinement.directory("supernode-data"))]
        serverapp = ["--serverappio-api-address", serverappio, *_executor(own["serverapp"])]
        clientapp = ["--clientappio-api-address", self._clientappio]
        clientapp += _executor(SECRETS / "clientapp-1")
        # Executors first: they wait for their daemons.
        return {
            "serverapp": self._run("serverapp", "flwr-serverapp", serverapp),
            "clientapp": self._run("clientapp", "flwr-clientapp", clientapp),
            "superlink": self._run("superlink", "flower-superlink", link),
            "supernode": self._run("supernode", "flower-supernode", node),
        }

    def _run(self, name: str, program: str, flags: list[str]) -> Program:
        command = [OURS.program(program), *flags, "--health-file", HEALTH]
        env = bare(self._federation.environment(OURS, name))
        return self._federation.start_command(name, self._confinement.argv(command), env)


def _appio(secrets: Path) -> list[str]:
    flags = ["--isolation", "process", "--appio-certfile", f"{secrets}/appio.crt"]
    flags += ["--appio-keyfile", f"{secrets}/appio.key"]
    return [*flags, "--superexec-auth-secret-file", f"{secrets}/superexec-secret"]


def _executor(secrets: Path) -> list[str]:
    flags = ["--root-certificates", f"{secrets}/appio-ca.crt"]
    return [*flags, "--superexec-auth-secret-file", f"{secrets}/superexec-secret"]


@pytest.fixture
def confined(tmp_path: Path) -> Iterator[tuple[Federation, Site]]:
    shared = tmp_path / "shared"
    with Federation(shared, tls=True, nodes=1, hosts=list(HOSTS.values())) as federation:
        confinement = Confinement(shared, HOSTS)
        if why := confinement.why_not():
            pytest.skip(why)
        yield federation, Site(federation, confinement)


def process_1(program: Program) -> int:
    """Return the id, out here, of the process 1 in a program's confinement."""
    return descendants(program.pid)[0]


def is_healthy(program: Program) -> bool:
    below = descendants(program.pid)
    return bool(below) and Path(f"/proc/{below[0]}/root{HEALTH}").exists()


@pytest.mark.long
@pytest.mark.row("S24", "S25", "S28", "S63")
def test_a_federation_of_hardened_containers_completes_a_run_and_stops(
    confined: tuple[Federation, Site],
) -> None:
    federation, site = confined
    programs = site.start()
    for program in programs.values():
        eventually(
            lambda program=program: is_healthy(program),  # type: ignore[misc]
            timeout=90,
            otherwise=lambda program=program: f"{program.name}:\n{program.output[-3000:]}",  # type: ignore[misc]
        )

    run = federation.await_end(federation.submit(TINY, *quick(nodes=1)))

    assert run["status"] == "finished:completed", federation.log_of(run["run-id"])
    digest_in(federation.log_of(run["run-id"]))
    for name in ("serverapp", "clientapp", "supernode", "superlink"):
        os.kill(process_1(programs[name]), signal.SIGTERM)
        assert programs[name].wait() == 0, programs[name].output[-3000:]
    for program in programs.values():
        assert "Read-only" not in program.output
        assert "Permission denied" not in program.output
