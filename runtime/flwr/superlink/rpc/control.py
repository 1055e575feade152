"""Edge of the Control API: what the ``flwr`` command asks for."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from flwr.auth.accounts import Account
from flwr.core.clock import Clock
from flwr.core.errors import (
    FailedPreconditionError,
    FlwrError,
    TooLargeError,
    UnavailableError,
    UnimplementedError,
)
from flwr.core.federation import DEFAULT_FEDERATION
from flwr.core.ids import NodeId, RunId
from flwr.core.limits import LONG_POLL
from flwr.proto import control_pb2, control_pb2_grpc
from flwr.shell.executors import Executors
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.superlink import topics
from flwr.superlink.executors import explain
from flwr.superlink.federations import Federation
from flwr.superlink.logs import LogPage, Logs
from flwr.superlink.nodes import Nodes
from flwr.superlink.runs import Runs, Submission
from flwr.wire import metadata
from flwr.wire.codec.config import decode_config, decode_simulation
from flwr.wire.codec.federations import FederationInfo, MemberInfo, encode_federation
from flwr.wire.codec.nodes import encode_node
from flwr.wire.codec.runs import encode_run, encode_time
from flwr.wire.interceptors.account import calling_account
from flwr.wire.interceptors.guarding import Rpc, header

_NO_LOGIN: Final = "ControlServicer initialized without account authentication"
_NO_ARTIFACTS: Final = "ControlServicer initialized without artifact provider"
_UNFINISHED: Final = "Cannot pull artifacts for an unfinished run"


class ControlServicer(control_pb2_grpc.ControlServicer):
    """Serves people and their tools."""

    def __init__(
        self,
        *,
        runs: Runs,
        executors: Executors,
        nodes: Nodes,
        logs: Logs,
        wakeups: Wakeups,
        clock: Clock,
    ) -> None:
        self._runs, self._nodes, self._logs = runs, nodes, logs
        self._executors = executors
        self._wakeups, self._clock = wakeups, clock

    async def StartRun(
        self, request: control_pb2.StartRunRequest, rpc: Rpc
    ) -> control_pb2.StartRunResponse:
        """Submit an app; a bundle beyond the limit is answered without a run id (contract)."""
        if request.app_spec and not request.fab.content:
            raise FailedPreconditionError(
                f"this SuperLink fetches no apps by name: {request.app_spec[:80]!r}",
                hint="send the app itself: run the command in the app's folder",
            )
        settings = request.override_federation_config
        has_settings = request.HasField("override_federation_config")
        submission = Submission(
            fab=request.fab.content,
            override_config=decode_config(request.override_config),
            federation=request.federation,
            simulation=decode_simulation(settings) if has_settings else None,
            submit_key=header(rpc, metadata.SUBMIT_KEY) or None,
        )
        try:
            run = await in_thread(self._runs.submit, calling_account(), submission)
        except TooLargeError as refusal:
            return control_pb2.StartRunResponse(note=refusal.message)
        return control_pb2.StartRunResponse(run_id=run.run_id)

    async def StopRun(
        self, request: control_pb2.StopRunRequest, _rpc: Rpc
    ) -> control_pb2.StopRunResponse:
        """Stop a run."""
        await in_thread(self._runs.stop, calling_account(), RunId(request.run_id))
        return control_pb2.StopRunResponse(success=True)

    async def StreamLogs(
        self, request: control_pb2.StreamLogsRequest, _rpc: Rpc
    ) -> AsyncIterator[control_pb2.StreamLogsResponse]:
        """Send the log after a stamp, then what is added, until the run has ended."""
        account, run_id = calling_account(), RunId(request.run_id)
        after = request.after_timestamp
        await in_thread(self._runs.find, account, run_id)
        await in_thread(self._runs.audit, account, "stream-logs", run_id)
        while True:
            page = await self._next_page(account, run_id, after)
            if page.chunks:
                after = page.chunks[-1].stamp
                yield control_pb2.StreamLogsResponse(
                    log_output="".join(chunk.text for chunk in page.chunks), latest_timestamp=after
                )
            if page.is_last:
                return

    async def ListRuns(
        self, request: control_pb2.ListRunsRequest, _rpc: Rpc
    ) -> control_pb2.ListRunsResponse:
        """Return one run, or the account's runs."""
        account = calling_account()
        if request.HasField("run_id"):
            runs = [await in_thread(self._runs.find, account, RunId(request.run_id))]
        else:
            limit = request.limit if request.HasField("limit") else None
            runs = await in_thread(self._runs.list, account, limit=limit)
        await in_thread(self._runs.audit, account, "list-runs")
        others_run = await in_thread(self._runs.any_started)
        served = self._executors.served()
        shown = [explain(run, served, others_run=others_run) for run in runs]
        return control_pb2.ListRunsResponse(
            run_dict={run.run_id: encode_run(run) for run in shown}, now=self._now()
        )

    async def PullArtifacts(
        self, request: control_pb2.PullArtifactsRequest, _rpc: Rpc
    ) -> control_pb2.PullArtifactsResponse:
        """Refuse: nothing provides artifacts; the contract checks the run first."""
        run = await in_thread(self._runs.find, calling_account(), RunId(request.run_id))
        if not run.is_final:
            raise FailedPreconditionError(_UNFINISHED)
        raise UnimplementedError(_NO_ARTIFACTS)

    async def GetLoginDetails(
        self, _request: control_pb2.GetLoginDetailsRequest, _rpc: Rpc
    ) -> control_pb2.GetLoginDetailsResponse:
        """Say that no login is needed."""
        return control_pb2.GetLoginDetailsResponse(authn_type="noop")

    async def GetAuthTokens(
        self, _request: control_pb2.GetAuthTokensRequest, _rpc: Rpc
    ) -> control_pb2.GetAuthTokensResponse:
        """Refuse: there are no tokens without a login service."""
        raise UnimplementedError(_NO_LOGIN)

    async def RegisterNode(
        self, request: control_pb2.RegisterNodeRequest, _rpc: Rpc
    ) -> control_pb2.RegisterNodeResponse:
        """Register a node's public key for the account."""
        node = await in_thread(self._nodes.register, calling_account(), request.public_key)
        return control_pb2.RegisterNodeResponse(node_id=node.node_id)

    async def UnregisterNode(
        self, request: control_pb2.UnregisterNodeRequest, _rpc: Rpc
    ) -> control_pb2.UnregisterNodeResponse:
        """End one of the account's nodes for good."""
        await in_thread(self._nodes.unregister, calling_account(), NodeId(request.node_id))
        return control_pb2.UnregisterNodeResponse()

    async def ListNodes(
        self, _request: control_pb2.ListNodesRequest, _rpc: Rpc
    ) -> control_pb2.ListNodesResponse:
        """Return the account's nodes."""
        account = calling_account()
        nodes = await in_thread(self._nodes.list, account)
        await in_thread(self._runs.audit, account, "list-nodes")
        return control_pb2.ListNodesResponse(
            nodes_info=[encode_node(node) for node in nodes], now=self._now()
        )

    async def ListFederations(
        self, _request: control_pb2.ListFederationsRequest, _rpc: Rpc
    ) -> control_pb2.ListFederationsResponse:
        """Return the one federation."""
        name = DEFAULT_FEDERATION
        found = await in_thread(self._runs.show_federation, calling_account(), name)
        brief = _shown(found, calling_account(), is_brief=True)
        return control_pb2.ListFederationsResponse(federations=[encode_federation(brief)])

    async def ShowFederation(
        self, request: control_pb2.ShowFederationRequest, _rpc: Rpc
    ) -> control_pb2.ShowFederationResponse:
        """Return the federation with its nodes and runs."""
        account = calling_account()
        found = await in_thread(self._runs.show_federation, account, request.federation_name)
        await in_thread(self._runs.audit, account, "show-federation")
        shown = encode_federation(_shown(found, account))
        return control_pb2.ShowFederationResponse(federation=shown, now=self._now())

    async def ConfigureSimulationFederation(
        self, request: control_pb2.ConfigureSimulationFederationRequest, _rpc: Rpc
    ) -> control_pb2.ConfigureSimulationFederationResponse:
        """Change the settings of the simulated federation; what is not said stays."""
        said = decode_simulation(request.config)
        change = self._runs.configure_simulation
        await in_thread(change, calling_account(), request.federation_name, said)
        return control_pb2.ConfigureSimulationFederationResponse()

    def StreamRunEvents(
        self, _request: control_pb2.StreamRunEventsRequest, _rpc: Rpc
    ) -> AsyncIterator[control_pb2.StreamRunEventsResponse]:
        """Refuse: named by the contract, offered by nobody."""
        raise _not_offered()

    async def _refuse(self, request: Any, context: Rpc) -> Any:  # noqa: ARG002 - gRPC's names
        """Refuse what needs several federations or accounts."""
        raise _not_offered()

    CreateFederation = _refuse
    ArchiveFederation = _refuse
    AddNodeToFederation = _refuse
    RemoveNodeFromFederation = _refuse
    RemoveAccountFromFederation = _refuse
    CreateInvitation = _refuse
    ListInvitations = _refuse
    AcceptInvitation = _refuse
    RejectInvitation = _refuse
    RevokeInvitation = _refuse

    async def _next_page(self, account: Account, run_id: RunId, after: float) -> LogPage:
        """Return the next chunks; waits until there are some or the log is complete."""

        async def attempt() -> LogPage | None:
            page = await in_thread(self._logs.read, account, run_id, after)
            return page if page.chunks or page.is_last else None

        while True:
            began = self._clock.monotonic()
            bells = (topics.log(run_id), topics.ended(run_id))
            page = await self._wakeups.until(bells, attempt, timeout=LONG_POLL)
            if page is not None:
                return page
            if self._clock.monotonic() - began < LONG_POLL.total_seconds() / 2:
                raise UnavailableError("The SuperLink is stopping", hint="follow the log again")

    def _now(self) -> str:
        return encode_time(self._clock.now())


def _not_offered() -> FlwrError:
    return UnimplementedError(
        "this SuperLink has one federation and no accounts",
        hint=f"every node and run belongs to {DEFAULT_FEDERATION}",
    )


def _shown(federation: Federation, account: Account, *, is_brief: bool = False) -> FederationInfo:
    """Return what ``account``, its only member, may see of a federation."""
    return FederationInfo(
        name=federation.name,
        description=federation.description,
        members=(MemberInfo(account_id=account.account_id, name=account.name, role="owner"),),
        nodes=() if is_brief else federation.nodes,
        runs=() if is_brief else federation.runs,
        simulation=federation.is_simulation,
        config=federation.config,
    )


def add_control(servicer: ControlServicer, server: grpc.aio.Server) -> None:
    """Serve the Control API on ``server``."""
    control_pb2_grpc.add_ControlServicer_to_server(servicer, server)
