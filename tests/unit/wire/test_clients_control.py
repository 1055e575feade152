"""The user's client: typed answers, and a reason when there is none."""

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flwr.auth.tls import ClientTls, ServerTls
from flwr.core.errors import FlwrError, NotFoundError, UnimplementedError
from flwr.core.ids import AccountId, NodeId, RunId
from flwr.core.node import Node, NodeStatus
from flwr.core.run import RunNotFoundError, RunStatus
from flwr.core.simulation import SimulationConfig
from flwr.proto import control_pb2, run_pb2
from flwr.wire import diagnose
from flwr.wire.clients.control import (
    ControlClient,
    StopRefusedError,
    SubmissionRefusedError,
    open_control,
)
from flwr.wire.codec.federations import (
    FederationInfo,
    MemberInfo,
    decode_federation,
    encode_federation,
)
from flwr.wire.codec.nodes import encode_node
from flwr.wire.interceptors.account import AccountInterceptor
from flwr.wire.server import chain
from tests.fakes.certificates import Authority
from tests.fakes.rpc import message_service, serving

AUTHORITY = Authority()
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
RUN, MISSING = RunId(2**64 - 1), RunId(404)
NODE = Node(
    node_id=NodeId(2**63 + 1), public_key=b"pem", status=NodeStatus.ONLINE, registered_at=NOW
)
FEDERATION = FederationInfo(
    name="@none/default",
    members=(MemberInfo(account_id=AccountId("<id:none>"), name="none", role="owner"),),
    nodes=(NODE,),
    config=SimulationConfig(num_supernodes=0, verbose=False),
)


def stored(run_id: int, at: datetime) -> run_pb2.Run:
    status = run_pb2.RunStatus(status="finished", sub_status="failed", details="why")
    return run_pb2.Run(run_id=run_id, pending_at=at.isoformat(), status=status)


class SuperLink:
    """Answers from constants; keeps requests and headers."""

    def __init__(self) -> None:
        self.submitted: list[tuple[Any, dict[str, Any]]] = []
        self.gone = False

    async def start_run(self, request: Any, rpc: Any) -> Any:
        self.submitted.append((request, dict(rpc.invocation_metadata())))
        if len(request.fab.content) > 10:
            return control_pb2.StartRunResponse()
        return control_pb2.StartRunResponse(run_id=RUN)

    async def stop_run(self, request: Any, rpc: Any) -> Any:
        if request.run_id == MISSING:
            raise RunNotFoundError(MISSING)
        return control_pb2.StopRunResponse(success=request.run_id == RUN)

    async def stream_logs(self, request: Any, rpc: Any) -> AsyncIterator[Any]:
        if request.run_id == MISSING:
            raise RunNotFoundError(MISSING)
        for number in range(2):
            stamp = request.after_timestamp + number + 1
            yield control_pb2.StreamLogsResponse(
                log_output=f"line {number}\n", latest_timestamp=stamp
            )

    async def list_runs(self, request: Any, rpc: Any) -> Any:
        runs = {1: stored(1, NOW), 2: stored(2, NOW + timedelta(seconds=1))}
        if request.HasField("run_id"):
            runs = {request.run_id: stored(request.run_id, NOW)}
        return control_pb2.ListRunsResponse(run_dict=runs, now=NOW.isoformat())

    async def register_node(self, request: Any, rpc: Any) -> Any:
        return control_pb2.RegisterNodeResponse(node_id=NODE.node_id)

    async def unregister_node(self, request: Any, rpc: Any) -> Any:
        return control_pb2.UnregisterNodeResponse()

    async def list_nodes(self, request: Any, rpc: Any) -> Any:
        return control_pb2.ListNodesResponse(nodes_info=[encode_node(NODE)], now=NOW.isoformat())

    async def list_federations(self, request: Any, rpc: Any) -> Any:
        return control_pb2.ListFederationsResponse(federations=[encode_federation(FEDERATION)])

    async def show_federation(self, request: Any, rpc: Any) -> Any:
        shown = encode_federation(FEDERATION)
        return control_pb2.ShowFederationResponse(federation=shown, now=NOW.isoformat())

    def service(self) -> Any:
        pb = control_pb2
        unary: dict[str, Any] = {
            "StartRun": (pb.StartRunRequest, self.start_run),
            "StopRun": (pb.StopRunRequest, self.stop_run),
            "ListRuns": (pb.ListRunsRequest, self.list_runs),
            "RegisterNode": (pb.RegisterNodeRequest, self.register_node),
            "UnregisterNode": (pb.UnregisterNodeRequest, self.unregister_node),
            "ListNodes": (pb.ListNodesRequest, self.list_nodes),
            "ListFederations": (pb.ListFederationsRequest, self.list_federations),
            "ShowFederation": (pb.ShowFederationRequest, self.show_federation),
        }
        stream: dict[str, Any] = {"StreamLogs": (pb.StreamLogsRequest, self.stream_logs)}
        return message_service("flwr.proto.Control", unary, stream)


def asked(
    question: Callable[[ControlClient], Any],
    superlink: SuperLink | None = None,
    *,
    tls: ServerTls | None = None,
    trust: ClientTls | None = None,
) -> Any:
    """Ask in a thread what a user would ask."""

    def ask(address: str) -> Any:
        with open_control(address, trust) as control:
            return question(control)

    async def play() -> Any:
        service = (superlink or SuperLink()).service()
        guard = chain(AccountInterceptor())
        async with serving(service, interceptors=guard, tls=tls) as server:
            return await asyncio.to_thread(ask, server.address)

    return asyncio.run(play())


@pytest.mark.row("S29")
def test_a_submission_carries_everything_over_tls() -> None:
    superlink = SuperLink()

    def submit(control: ControlClient) -> RunId:
        return control.start_run(
            b"fab",
            {"lr": 0.1, "name": "a b"},
            federation="@none/default",
            simulation=SimulationConfig(num_supernodes=0),
            submit_key="once",
        )

    run_id = asked(submit, superlink, tls=AUTHORITY.issue(), trust=AUTHORITY.client_tls)

    ((request, headers),) = superlink.submitted
    assert run_id == RUN
    assert request.fab.hash_str == hashlib.sha256(b"fab").hexdigest()
    assert request.override_config["lr"].double == 0.1
    assert request.override_federation_config.HasField("num_supernodes")
    assert headers["flwr-compose-submit-key"] == "once"


def test_a_submission_without_extras_sends_none() -> None:
    superlink = SuperLink()

    asked(lambda control: control.start_run(b"fab", {}), superlink)

    ((request, headers),) = superlink.submitted
    assert not request.HasField("override_federation_config")
    assert "flwr-compose-submit-key" not in headers


def test_an_answer_without_a_run_is_a_refusal() -> None:
    with pytest.raises(SubmissionRefusedError, match="100 bytes"):
        asked(lambda control: control.start_run(b"x" * 100, {}))


def test_stopping_tells_missing_from_refused() -> None:
    asked(lambda control: control.stop_run(RUN))

    with pytest.raises(NotFoundError, match="Run ID not found"):
        asked(lambda control: control.stop_run(MISSING))
    with pytest.raises(StopRefusedError):
        asked(lambda control: control.stop_run(RunId(7)))


def test_logs_are_texts_with_stamps() -> None:
    chunks = asked(lambda control: list(control.stream_logs(RUN, 5.0)))

    assert chunks == [("line 0\n", 6.0), ("line 1\n", 7.0)]
    with pytest.raises(NotFoundError):
        asked(lambda control: list(control.stream_logs(MISSING)))


def test_leaving_the_log_early_ends_the_call() -> None:
    def first(control: ControlClient) -> tuple[str, float]:
        logs = control.stream_logs(RUN)
        chunk = next(logs)
        logs.close()  # type: ignore[attr-defined]
        return chunk

    assert asked(first) == ("line 0\n", 1.0)


def test_runs_come_newest_first() -> None:
    (runs, now), (one, _) = asked(lambda control: (control.list_runs(), control.list_runs(RUN)))

    assert [run.run_id for run in runs] == [2, 1]
    assert [run.run_id for run in one] == [RUN]
    assert (runs[0].status, runs[0].details, now) == (RunStatus.FAILED, "why", NOW)


def test_nodes_and_federations_are_core_values() -> None:
    nodes, node_id, listed, shown = asked(
        lambda control: (
            control.list_nodes(),
            control.register_node(b"pem"),
            control.list_federations(),
            control.show_federation("@none/default"),
        )
    )

    assert nodes == ([NODE], NOW)
    assert node_id == NODE.node_id
    assert listed == [FEDERATION]
    assert shown == (FEDERATION, NOW)
    assert asked(lambda control: control.unregister_node(NODE.node_id)) is None


def test_a_federation_without_settings_has_none_after_a_round_trip() -> None:
    plain = FederationInfo(name="x", archived=True, simulation=True, description="d")

    assert decode_federation(encode_federation(plain)) == plain


def test_what_the_superlink_does_not_offer_says_so() -> None:
    with pytest.raises(UnimplementedError):
        asked(lambda control: control.create_federation("x"))


def listed_nodes(control: ControlClient) -> Any:
    return control.list_nodes()


@pytest.mark.row("S29", "S31")
@pytest.mark.parametrize(
    ("tls", "trust", "error"),
    [
        (AUTHORITY.issue(), Authority().client_tls, diagnose.WrongCaError),
        (AUTHORITY.issue("elsewhere"), AUTHORITY.client_tls, diagnose.WrongHostNameError),
        (
            AUTHORITY.issue(since=timedelta(days=-2), until=timedelta(days=-1)),
            AUTHORITY.client_tls,
            diagnose.CertificateExpiredError,
        ),
        (AUTHORITY.issue(), None, diagnose.ServerWantsTlsError),
        (None, AUTHORITY.client_tls, diagnose.ServerSpeaksClearTextError),
    ],
)
def test_a_user_learns_why_nobody_answers(
    tls: ServerTls | None, trust: ClientTls | None, error: type[FlwrError]
) -> None:
    with pytest.raises(error):
        asked(listed_nodes, tls=tls, trust=trust)


def test_a_superlink_that_is_down_refuses_the_connection() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"

        with (
            open_control(address, None) as control,
            pytest.raises(diagnose.ConnectionRefusedByPeerError),
        ):
            control.list_nodes()
