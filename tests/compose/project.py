"""One compose project of a test: its containers, and what tests do to them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from python_on_whales import Container, DockerClient, DockerException

from tests.compose import reach
from tests.harness.program import descendants, eventually
from tests.harness.toolset import ROOT

PREFIX: Final = "flwr-test"
COMPOSE: Final = ROOT / "compose"
_PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"
_STOP_S: Final = 3
_UP_S: Final = 120
_numbers: Final = count(1)


def new_name() -> str:
    """Return a project name of this process: others see by the pid whether it still runs."""
    return f"{PREFIX}-{os.getpid()}-{next(_numbers)}"


class Project:
    """Some of the project's compose files under a name of their own.

    Use it as a context manager: containers, networks and volumes are gone afterwards.
    ``variables`` may be changed between calls.  ``name`` is a service's: ``supernode-2``.
    """

    def __init__(
        self,
        root: Path,
        *,
        files: Sequence[str] = ("compose.yaml",),
        nodes: int = 1,
        variables: Mapping[str, str] | None = None,
        profiles: Sequence[str] | None = None,
    ) -> None:
        """Take the files (relative to compose/) and the variables an operator would set."""
        self.project = new_name()
        self.root, self.nodes = root, nodes
        self._profiles = [f"nodes-{nodes}"] if profiles is None else list(profiles)
        self.variables = {
            "FLWR_FEDERATION": self.project,
            "FLWR_NODES": str(nodes),
            "FLWR_PULL_POLICY": "never",
            **(variables or {}),
        }
        self._files = [COMPOSE / file for file in files]
        self.docker = self._client()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.report()
        self.down()

    # -- the whole project --------------------------------------------------------------------

    def up(self, *services: str, wait: bool = True, timeout: int = _UP_S) -> None:
        """Start services (all without a name) and wait until they are healthy."""
        self.docker = self._client()
        self.docker.compose.up(
            list(services) or None,
            detach=True,
            wait=wait,
            wait_timeout=timeout if wait else None,
            quiet=True,
        )

    def down(self, *, volumes: bool = True, timeout: int = _STOP_S) -> None:
        """Stop and remove everything; ``volumes=False`` keeps the state."""
        self.docker = self._client()
        self.docker.compose.down(volumes=volumes, remove_orphans=True, timeout=timeout, quiet=True)

    def run(self, service: str, *args: str, volumes: Sequence[tuple[str, str, str]] = ()) -> str:
        """Run a one-off container of a service and return what it printed."""
        self.docker = self._client()
        said = self.docker.compose.run(
            service, list(args), remove=True, tty=False, dependencies=False, volumes=volumes
        )
        assert isinstance(said, str)
        return said

    def config(self) -> dict[str, Any]:
        """Return what Compose makes of the files and variables."""
        self.docker = self._client()
        found = self.docker.compose.config(return_json=True)
        assert isinstance(found, dict)
        return found

    def report(self) -> None:
        """Show the ends of all logs, for whoever reads about a failed test."""
        for container in self._containers():
            with suppress(DockerException):
                said = self.docker.container.logs(container, tail=40)
                sys.stderr.write(f"--- {container.name} ({container.state.status}) ---\n{said}\n")

    # -- one container ------------------------------------------------------------------------

    def services(self) -> list[str]:
        """Return the services that have a container now, running or not."""
        return sorted(labels_of(_SERVICE, f"{_PROJECT}={self.project}"))

    def container(self, name: str) -> Container:
        """Return the service's container, running or not."""
        found = self._containers(f"{_SERVICE}={name}")
        assert found, f"{name} has no container; there are {self.services()}"
        return found[0]

    def inspect(self, name: str) -> dict[str, Any]:
        """Return all that ``docker inspect`` shows of the container."""
        show = ["docker", "inspect", self.container(name).id]
        shown = subprocess.run(show, check=True, capture_output=True, text=True).stdout
        found = json.loads(shown)[0]
        assert isinstance(found, dict)
        return found

    def execute(self, name: str, *argv: str) -> str:
        """Run a command in the container, as its own user, and return what it printed."""
        said = self.docker.execute(self.container(name), list(argv))
        assert isinstance(said, str)
        return said

    def python(self, name: str, code: str, *args: str) -> str:
        """Run Python in the container, with what its own programs can import."""
        return self.execute(name, "python3", "-c", code, *args)

    def reach(self, name: str, host: str, port: int) -> str:
        """Return what the container meets at an address: a word of ``reach.py``."""
        return self.reach_all(name, [(host, port)])[0]

    def reach_all(self, name: str, addresses: Sequence[tuple[str, int]]) -> list[str]:
        """Return what the container meets at each address, asked all at the same time."""
        return self._ask(name, "reach", addresses)

    def identify_all(self, name: str, addresses: Sequence[tuple[str, int]]) -> list[str]:
        """Return the digest of the certificate that each address shows to the container."""
        return self._ask(name, "identify", addresses)

    def logs(self, name: str, since: datetime | None = None) -> str:
        """Return what the container printed, both streams."""
        said = self.docker.container.logs(self.container(name), since=since)
        assert isinstance(said, str)
        return said

    def log_entries(self, name: str, since: datetime | None = None) -> list[dict[str, Any]]:
        """Return the JSON lines a daemon logged."""
        lines = self.logs(name, since).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def addresses(self, name: str) -> dict[str, str]:
        """Return the container's address in each of its networks, by the network's short name."""
        networks = self.container(name).network_settings.networks or {}
        return {
            network.removeprefix(f"{self.project}_"): end.ip_address or ""
            for network, end in networks.items()
        }

    def health(self, name: str) -> str:
        """Return starting, healthy or unhealthy; the state when there is no health check."""
        state = self.container(name).state
        return str(state.health.status if state.health else state.status)

    def await_health(self, name: str, wanted: str = "healthy", timeout: float = 60) -> None:
        """Wait until the container's health check says so."""
        eventually(
            lambda: self.health(name) == wanted,
            timeout=timeout,
            step=0.2,
            otherwise=lambda: f"{name} is {self.health(name)}:\n{self.logs(name)[-3000:]}",
        )

    def await_log(self, name: str, text: str, timeout: float = 60) -> None:
        """Wait until the container printed a text."""
        eventually(
            lambda: text in self.logs(name),
            timeout=timeout,
            step=0.2,
            otherwise=lambda: f"{name} never said {text!r}:\n{self.logs(name)[-3000:]}",
        )

    def await_exit(self, name: str, timeout: float = 60) -> int:
        """Wait until the program ended by itself and return its exit code, restarted or not."""
        codes: list[int] = []

        def has_ended() -> bool:
            state = self.inspect(name)["State"]
            if state["Status"] in {"exited", "restarting"}:
                codes.append(int(state["ExitCode"]))
            return bool(codes)

        eventually(
            has_ended,
            timeout=timeout,
            step=0.25,
            otherwise=lambda: f"{name} does not end:\n{self.logs(name)[-3000:]}",
        )
        return codes[0]

    def await_restart(self, name: str, before: int, timeout: float = 60) -> None:
        """Wait until the engine restarted the container and it is healthy again."""
        eventually(
            lambda: (self.container(name).restart_count or 0) > before,
            timeout=timeout,
            step=0.1,
            otherwise=lambda: f"{name} was not restarted",
        )
        self.await_health(name, timeout=timeout)

    # -- what befalls containers --------------------------------------------------------------

    def pid(self, name: str) -> int:
        """Return the container's first process, as this host counts."""
        pid = self.container(name).state.pid
        assert pid, f"{name} does not run"
        return pid

    def pids(self, name: str) -> list[int]:
        """Return all of the container's processes, as this host counts, parents first."""
        first = self.pid(name)
        return [first, *descendants(first)]

    def crash(self, name: str) -> None:
        """SIGKILL from outside: what the engine takes for a crash, so its restart policy acts."""
        os.kill(self.pid(name), signal.SIGKILL)

    def kill(self, name: str) -> None:
        """``docker kill``: an operator's wish, so the container stays down until ``up``."""
        self.docker.kill(self.container(name))

    @contextmanager
    def paused(self, name: str) -> Iterator[None]:
        """Freeze every process of the container for a while."""
        container = self.container(name)
        self.docker.pause(container)
        try:
            yield
        finally:
            self.docker.unpause(container)

    @contextmanager
    def disconnected(self, name: str, network: str) -> Iterator[None]:
        """Pull the container's plug in one network, then put it back with the same names."""
        container, full = self.container(name), f"{self.project}_{network}"
        ends = container.network_settings.networks or {}
        aliases = [a for a in ends[full].aliases or () if not container.id.startswith(a)]
        self.docker.network.disconnect(full, container)
        try:
            yield
        finally:
            named = [part for alias in aliases for part in ("--alias", alias)]
            connect = ["docker", "network", "connect", *named, full, container.id]
            subprocess.run(connect, check=True, capture_output=True)

    def in_network_of(self, name: str, *argv: str) -> str:
        """Run a command of this host in the container's network namespace; needs root."""
        enter = ["nsenter", "--target", str(self.pid(name)), "--net", *argv]
        return subprocess.run(enter, check=True, capture_output=True, text=True).stdout

    # -- inside -------------------------------------------------------------------------------

    def _client(self) -> DockerClient:
        """Return a client that sees the variables as they are now."""
        file = self.root / f"{self.project}.env"
        file.write_text("".join(f"{k}={v}\n" for k, v in self.variables.items()))
        return DockerClient(
            compose_files=list(self._files),
            compose_env_files=[file],
            compose_profiles=self._profiles,
            compose_project_name=self.project,
        )

    def _ask(self, name: str, question: str, addresses: Sequence[tuple[str, int]]) -> list[str]:
        script = Path(reach.__file__).read_text("utf-8")
        answer = self.python(name, script, question, json.dumps(addresses))
        found: list[str] = json.loads(answer)
        return found

    def _containers(self, *labels: str) -> list[Container]:
        wanted = (f"{_PROJECT}={self.project}", *labels)
        return self.docker.container.list(all=True, filters=[("label", w) for w in wanted])


def labels_of(label: str, *labelled: str) -> list[str]:
    """Return a label of every container, in one call: any of them may go meanwhile."""
    wanted = [part for one in labelled for part in ("--filter", f"label={one}")]
    listing = ["docker", "ps", "--all", *wanted, "--format", f'{{{{.Label "{label}"}}}}']
    said = subprocess.run(listing, check=True, capture_output=True, text=True).stdout
    return [line for line in said.splitlines() if line]


def remove_leftovers() -> None:
    """Remove the projects of test processes that were killed."""
    for project in {p for p in labels_of(_PROJECT) if p.startswith(f"{PREFIX}-")}:
        owner = project.removeprefix(f"{PREFIX}-").split("-")[0]
        if owner.isdigit() and not Path("/proc", owner).exists():
            DockerClient(compose_project_name=project).compose.down(
                volumes=True, remove_orphans=True, timeout=0, quiet=True
            )
