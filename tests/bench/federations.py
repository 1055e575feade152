"""Federations that are measured: each program counted, and known by the part it plays."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.bench.accounting import CpuMeter, open_meter, total
from tests.bench.sampler import Root
from tests.harness.federation import CONNECTION, Federation
from tests.harness.ports import free_address
from tests.harness.postgres import PostgresServer, why_no_postgres
from tests.harness.program import Program
from tests.harness.toolset import OURS, Toolset, upstream

UPSTREAM: Final = upstream("1.29.0")
_CALM_CORES: Final = 0.25
_CALM_STEP_S: Final = 0.5
_NODE_PATIENCE_S: Final = 12.0  # to come online, for each node: upstream's start one by one

SERVER: Final = "server"
SITES: Final = "sites"


class NotMeasuredError(Exception):
    """Something that a measurement needs is not on this machine."""


@dataclass(frozen=True, slots=True)
class Side:
    """Whose programs make up a federation."""

    name: str
    link: Toolset
    node: Toolset

    @property
    def tools(self) -> tuple[Toolset, Toolset]:
        """Both releases that take part."""
        return self.link, self.node


SIDES: Final[Mapping[str, Side]] = {
    "ours": Side("ours", OURS, OURS),
    "upstream": Side("upstream", UPSTREAM, UPSTREAM),
    "mixed": Side("mixed", OURS, UPSTREAM),
}


@dataclass(frozen=True, slots=True)
class Setup:
    """How a federation is built."""

    nodes: int = 2
    tls: bool = False  # with a key for every node
    postgres: bool = False
    isolation: str = "subprocess"
    takes_turns: bool = False  # ClientApps of all sites: as many at one time as there are CPUs
    containers: bool = False


class MeasuredFederation(Federation):
    """A federation of processes whose programs are counted; nothing of it is left at its end."""

    def __init__(self, root: Path, side: Side, setup: Setup) -> None:
        """Choose addresses and make keys; nothing runs yet."""
        for tools in side.tools:
            if not tools.is_installed:
                raise NotMeasuredError(f"{tools.name} is not installed: make test-interop does it")
        super().__init__(root, tls=setup.tls, nodes=setup.nodes)
        self.side, self.setup = side, setup
        self.meter: CpuMeter = open_meter()
        self.roots: list[Root] = []
        self._more = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(None, None, None)  # the logs are kept by whoever wants them
        self._more.close()
        self.meter.close()

    def up(self) -> float:
        """Start everything, wait until all nodes are online; return how long that took."""
        begun = time.monotonic()
        setup, side = self.setup, self.side
        self.start_superlink(side.link, *self._link_flags(), node_auth=setup.tls)
        if setup.isolation == "process":
            self._start_executor(side.link, "serverapp", self.serverappio, "executor-0")
        if setup.tls and not side.link.is_ours:
            self._register_keys()
        for number in range(1, setup.nodes + 1):
            self._start_site(number)
        self.await_nodes(setup.nodes, timeout=30 + _NODE_PATIENCE_S * setup.nodes)
        return time.monotonic() - begun

    def await_calm(self, timeout: float) -> None:
        """Wait until the programs have done what they do at their start, or for so long."""
        until = time.monotonic() + timeout
        before = total(self.meter.read())
        while time.monotonic() < until:
            time.sleep(_CALM_STEP_S)
            now = total(self.meter.read())
            if now - before < _CALM_CORES * _CALM_STEP_S:
                return
            before = now

    def start_command(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Program:
        """Start a program as one that is counted; its name says which part it plays."""
        kind, _, number = name.partition("-")
        site = int(number or 0)
        group = SITES if site else SERVER
        program = super().start_command(name, self.meter.argv(group, argv), env)
        self.meter.follow(group, program.pid)
        self.roots.append(Root(program.pid, "supernode" if kind == "node" else kind, site))
        return program

    def logs(self) -> dict[str, str]:
        """Return what each program has printed."""
        return {program.name: program.output for program in self.programs}

    def _link_flags(self) -> list[str]:
        flags = self._isolation_flags(self.side.link)
        if self.setup.postgres:
            if reason := why_no_postgres():
                raise NotMeasuredError(reason)
            # Not among the programs: its CPU time is not in the figures, its traffic is.
            server = self._more.enter_context(PostgresServer())
            flags += ["--database", server.url]
        return flags

    def _isolation_flags(self, tools: Toolset) -> list[str]:
        if self.setup.isolation == "subprocess":
            return []
        return ["--isolation", "process", *(["--appio-insecure"] if tools.is_ours else [])]

    def _start_site(self, number: int) -> None:
        tools, flags = self.side.node, self._isolation_flags(self.side.node)
        if not flags:
            turns = ["--admission-dir", str(self.root / "queue")] if self.setup.takes_turns else []
            self.start_node(number, tools, *turns, of=self.setup.nodes, keyed=self.setup.tls)
            return
        address = free_address()
        flags += ["--clientappio-api-address", address]
        node = self.start_node(number, tools, *flags, of=self.setup.nodes, keyed=self.setup.tls)
        node.await_port(address)
        self._start_executor(tools, "clientapp", address, f"executor-{number}")

    def _start_executor(self, tools: Toolset, kind: str, address: str, name: str) -> None:
        flags = ["--insecure", "--appio-api-address", address, "--plugin-type", kind]
        self.start(name, tools, "flower-superexec", *flags)

    def _register_keys(self) -> None:
        for number in range(1, self.setup.nodes + 1):
            public = self.node_key(number).with_suffix(".pub")
            self.flwr("supernode", "register", str(public), CONNECTION)
