"""A SuperLink's Control API in memory, as the CLI sees it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from flwr.control.api import FederationControl
from flwr.control.connection import Connection
from flwr.core.errors import FailedPreconditionError, FlwrError, NotFoundError, UnimplementedError
from flwr.core.federation import DEFAULT_FEDERATION
from flwr.core.ids import AccountId, FabHash, NodeId, RunId
from flwr.core.node import Node, NodeNotFoundError, NodeStatus
from flwr.core.run import Run, RunNotFoundError, RunStatus
from flwr.core.run_config import ConfigValue
from flwr.core.simulation import SimulationConfig
from flwr.wire.codec.federations import FederationInfo, MemberInfo
from tests.fakes.federations import FakeFederations

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def some_run(run_id: int = 7, status: RunStatus = RunStatus.RUNNING, details: str = "") -> Run:
    started = None if status is RunStatus.PENDING else NOW - timedelta(seconds=90)
    return Run(
        run_id=RunId(run_id),
        fab_id="acme/tiny-app",
        fab_version="1.2.3",
        fab_hash=FabHash("ab" * 32),
        federation=DEFAULT_FEDERATION,
        account_id=AccountId("<id:none>"),
        account_name="none",
        status=status,
        details=details,
        pending_at=NOW - timedelta(seconds=100),
        starting_at=started,
        running_at=started,
        finished_at=NOW if status not in {RunStatus.PENDING, RunStatus.RUNNING} else None,
        bytes_sent=3900,
        bytes_recv=512,
        clientapp_runtime_s=2.5,
    )


def some_node(node_id: int, status: NodeStatus = NodeStatus.ONLINE) -> Node:
    return Node(
        node_id=NodeId(node_id),
        public_key=b"key",
        status=status,
        registered_at=NOW - timedelta(hours=1),
        activated_at=NOW - timedelta(seconds=42),
    )


@dataclass
class FakeControl(FakeFederations):
    """Answers from its fields; notes what it was asked."""

    runs: dict[int, Run] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    ends_as: RunStatus = RunStatus.COMPLETED
    details: str = ""
    chunks: list[tuple[str, float]] = field(default_factory=list)
    failures: list[FlwrError | None] = field(default_factory=list)  # one per coming call
    breaks_after: list[int] = field(default_factory=list)  # chunks of each coming stream, then loss
    connections: list[Connection] = field(default_factory=list)
    artifacts: str | None = None  # None: no provider
    loss: FlwrError | None = None
    on_call: Callable[[], object] = lambda: None

    @contextmanager
    def connect(self, connection: Connection) -> Iterator[FederationControl]:
        self.connections.append(connection)
        yield self

    def start_run(
        self,
        fab: bytes,
        overrides: Mapping[str, ConfigValue],
        *,
        federation: str,
        simulation: SimulationConfig | None,
        submit_key: str,
    ) -> RunId:
        self._ask("start_run", (dict(overrides), federation, simulation, submit_key))
        if federation not in {"", DEFAULT_FEDERATION}:
            raise NotFoundError(f"Federation '{federation}' does not exist")
        self.runs[7] = some_run()
        return RunId(7)

    def stop_run(self, run_id: RunId) -> None:
        self._ask("stop_run", run_id)
        if self._require(run_id).is_final:
            raise FailedPreconditionError("Run is already finished")
        self.runs[run_id] = replace(self.runs[run_id], status=RunStatus.STOPPED)

    def stream_logs(
        self, run_id: RunId, after: float, timeout_s: float | None = None
    ) -> Iterator[tuple[str, float]]:
        self._ask("stream_logs", after)
        run = self._require(run_id)
        budget = self.breaks_after.pop(0) if self.breaks_after else None
        for given, (text, stamp) in enumerate(c for c in self.chunks if c[1] > after):
            if given == budget:
                break
            yield text, stamp
        if budget is not None:
            assert self.loss is not None
            raise self.loss
        self.runs[run_id] = replace(run, status=self.ends_as, details=self.details)

    def list_runs(
        self, run_id: RunId | None = None, limit: int | None = None
    ) -> tuple[list[Run], datetime]:
        self._ask("list_runs", (run_id, limit))
        if run_id is not None:
            return [self._require(run_id)], NOW
        return list(self.runs.values())[:limit], NOW

    def pull_artifacts(self, run_id: RunId) -> str:
        self._ask("pull_artifacts", run_id)
        if self.artifacts is None:
            raise UnimplementedError("ControlServicer initialized without artifact provider")
        return self.artifacts

    def register_node(self, public_key: bytes) -> NodeId:
        self._ask("register_node", public_key)
        return NodeId(11)

    def unregister_node(self, node_id: NodeId) -> None:
        self._ask("unregister_node", node_id)
        if node_id not in {node.node_id for node in self.nodes}:
            raise NodeNotFoundError(node_id)

    def list_nodes(self) -> tuple[list[Node], datetime]:
        self._ask("list_nodes", None)
        return self.nodes, NOW

    def list_federations(self) -> list[FederationInfo]:
        self._ask("list_federations", None)
        return [FederationInfo(name=DEFAULT_FEDERATION, description="open"), *self.federations]

    def show_federation(self, name: str) -> tuple[FederationInfo, datetime]:
        self._ask("show_federation", name)
        shown = FederationInfo(
            name=name,
            members=(MemberInfo(account_id=AccountId("<id:none>"), name="none", role="owner"),),
            nodes=tuple(self.nodes),
            runs=tuple(self.runs.values()),
        )
        return shown, NOW

    def _ask(self, call: str, arguments: object) -> None:
        self.asked.append((call, arguments))
        self.on_call()
        failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            raise failure

    def _require(self, run_id: int) -> Run:
        if run_id not in self.runs:
            raise RunNotFoundError(RunId(run_id))
        return self.runs[run_id]
