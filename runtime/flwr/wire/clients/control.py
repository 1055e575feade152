"""A user's calls to Control: typed, blocking, each tried once, every failure explained.

When nobody answers, one handshake is made to tell the user why (``wire.diagnose``).
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from flwr import __version__
from flwr.auth.tls import ClientTls
from flwr.core.errors import FailedPreconditionError, FlwrError, TooLargeError
from flwr.core.ids import NodeId, RunId
from flwr.core.limits import MAX_FAB_BYTES
from flwr.core.node import Node
from flwr.core.run import Run
from flwr.core.run_config import ConfigValue
from flwr.core.simulation import SimulationConfig
from flwr.proto import control_pb2, fab_pb2
from flwr.wire import diagnose, metadata
from flwr.wire.channel import open_channel
from flwr.wire.clients.accounts import (
    LoginDetails,
    TokenKeeper,
    Tokens,
    decode_login,
    decode_tokens,
    renewed_tokens,
)
from flwr.wire.clients.deadlines import deadline_s
from flwr.wire.codec.config import encode_config, encode_simulation
from flwr.wire.codec.federations import (
    FederationInfo,
    Invitations,
    decode_federation,
    decode_invitations,
)
from flwr.wire.codec.nodes import decode_node
from flwr.wire.codec.runs import decode_run, decode_time
from flwr.wire.errors import from_rpc_error, is_unanswered

Response = TypeVar("Response", bound=Message)
Explain = Callable[[], FlwrError]
Headers = tuple[tuple[str, str | bytes], ...]

_CONTROL: Final = "/flwr.proto.Control/"
_VERSION: Final[Headers] = ((metadata.VERSION, __version__),)


class SubmissionRefusedError(TooLargeError):
    """The SuperLink answered without a run, which is how older ones refuse the size of a FAB."""

    def __init__(self, size: int) -> None:
        """Name the size and the limit."""
        super().__init__(
            f"the SuperLink refused the FAB of {size} bytes; {MAX_FAB_BYTES} is the most",
            hint="leave data and models out of the app, see fab-exclude in pyproject.toml",
        )


class StopRefusedError(FailedPreconditionError):
    """The SuperLink did not stop the run."""

    def __init__(self, run_id: RunId) -> None:
        """Name the run."""
        super().__init__(f"the SuperLink did not stop run {run_id}", hint="flwr list shows it")


class ControlClient:
    """Speaks for one user.

    Args:
        channel: stays the caller's to close.
        explain: says why nobody answers; it may take seconds.
        keeper: has the user's tokens; None sends none.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        *,
        explain: Explain | None = None,
        keeper: TokenKeeper | None = None,
    ) -> None:
        self._channel = channel
        self._explain = explain
        self._keeper = keeper

    def start_run(
        self,
        fab: bytes,
        overrides: Mapping[str, ConfigValue],
        *,
        federation: str = "",
        simulation: SimulationConfig | None = None,
        submit_key: str = "",
    ) -> RunId:
        """Submit an app.

        Args:
            fab: the bundle.
            overrides: of the app's run configuration; its keys must exist there.
            federation: full name; empty means the default one.
            simulation: settings of a simulated federation.
            submit_key: the same key twice is the same run; empty means a new run.
        """
        request = control_pb2.StartRunRequest(
            fab=fab_pb2.Fab(hash_str=sha256(fab).hexdigest(), content=fab),
            override_config=encode_config(overrides),
            override_federation_config=None
            if simulation is None
            else encode_simulation(simulation),
            federation=federation,
        )
        headers: Headers = ((metadata.SUBMIT_KEY, submit_key),) if submit_key else ()
        parse = control_pb2.StartRunResponse.FromString
        response = self._call("StartRun", request, parse, headers=headers)
        if not response.HasField("run_id"):
            raise SubmissionRefusedError(len(fab))
        return RunId(response.run_id)

    def stop_run(self, run_id: RunId) -> None:
        """Stop a run; a finished run is an error."""
        request = control_pb2.StopRunRequest(run_id=run_id)
        if not self._call("StopRun", request, control_pb2.StopRunResponse.FromString).success:
            raise StopRefusedError(run_id)

    def stream_logs(
        self, run_id: RunId, after: float = 0.0, timeout_s: float | None = None
    ) -> Iterator[tuple[str, float]]:
        """Yield text and stamp of what was logged after the stamp ``after``, until the run ends.

        Closing the iterator ends the call.  Past ``timeout_s`` the call fails as unavailable.
        """
        method = f"{_CONTROL}StreamLogs"
        send = self._channel.unary_stream(
            method,
            request_serializer=control_pb2.StreamLogsRequest.SerializeToString,
            response_deserializer=control_pb2.StreamLogsResponse.FromString,
        )
        request = control_pb2.StreamLogsRequest(run_id=run_id, after_timestamp=after)
        call = send(request, timeout=timeout_s, metadata=self._headers())
        try:
            self._keep(call)
            for chunk in call:
                yield chunk.log_output, chunk.latest_timestamp
        except grpc.RpcError as cause:
            raise self._explained(cause, method) from cause
        finally:
            call.cancel()

    def list_runs(
        self, run_id: RunId | None = None, limit: int | None = None
    ) -> tuple[list[Run], datetime]:
        """Return runs, newest first, and the SuperLink's present instant."""
        request = control_pb2.ListRunsRequest(run_id=run_id, limit=limit)
        response = self._call("ListRuns", request, control_pb2.ListRunsResponse.FromString)
        runs = [decode_run(run) for run in response.run_dict.values()]
        runs.sort(key=lambda run: (run.pending_at, run.run_id), reverse=True)
        return runs, _instant(response.now)

    def pull_artifacts(self, run_id: RunId) -> str:
        """Return the address of a run's artifacts; empty when it made none."""
        request = control_pb2.PullArtifactsRequest(run_id=run_id)
        parse = control_pb2.PullArtifactsResponse.FromString
        return self._call("PullArtifacts", request, parse).url

    def register_node(self, public_key: bytes) -> NodeId:
        """Admit a node by its public key (PEM)."""
        request = control_pb2.RegisterNodeRequest(public_key=public_key)
        parse = control_pb2.RegisterNodeResponse.FromString
        return NodeId(self._call("RegisterNode", request, parse).node_id)

    def unregister_node(self, node_id: NodeId) -> None:
        """Remove a node for good."""
        request = control_pb2.UnregisterNodeRequest(node_id=node_id)
        self._call("UnregisterNode", request, control_pb2.UnregisterNodeResponse.FromString)

    def list_nodes(self) -> tuple[list[Node], datetime]:
        """Return the caller's nodes and the SuperLink's present instant."""
        request = control_pb2.ListNodesRequest()
        response = self._call("ListNodes", request, control_pb2.ListNodesResponse.FromString)
        return [decode_node(info) for info in response.nodes_info], _instant(response.now)

    def list_federations(self) -> list[FederationInfo]:
        """Return the caller's federations."""
        request = control_pb2.ListFederationsRequest()
        parse = control_pb2.ListFederationsResponse.FromString
        response = self._call("ListFederations", request, parse)
        return [decode_federation(federation) for federation in response.federations]

    def show_federation(self, name: str) -> tuple[FederationInfo, datetime]:
        """Return one federation with members, nodes and runs, and the present instant."""
        request = control_pb2.ShowFederationRequest(federation_name=name)
        parse = control_pb2.ShowFederationResponse.FromString
        response = self._call("ShowFederation", request, parse)
        return decode_federation(response.federation), _instant(response.now)

    def create_federation(
        self, name: str, description: str = "", *, simulation: bool = False
    ) -> FederationInfo:
        """Create a federation."""
        request = control_pb2.CreateFederationRequest(
            federation_name=name, description=description, simulation=simulation
        )
        parse = control_pb2.CreateFederationResponse.FromString
        return decode_federation(self._call("CreateFederation", request, parse).federation)

    def archive_federation(self, name: str) -> None:
        """Archive a federation; its runs stop."""
        request = control_pb2.ArchiveFederationRequest(federation_name=name)
        self._call("ArchiveFederation", request, control_pb2.ArchiveFederationResponse.FromString)

    def add_node_to_federation(self, name: str, node_id: NodeId) -> None:
        """Let a node take part in a federation."""
        request = control_pb2.AddNodeToFederationRequest(federation_name=name, node_id=node_id)
        parse = control_pb2.AddNodeToFederationResponse.FromString
        self._call("AddNodeToFederation", request, parse)

    def remove_node_from_federation(self, name: str, node_id: NodeId) -> None:
        """Take a node out of a federation."""
        request = control_pb2.RemoveNodeFromFederationRequest(federation_name=name, node_id=node_id)
        parse = control_pb2.RemoveNodeFromFederationResponse.FromString
        self._call("RemoveNodeFromFederation", request, parse)

    def remove_account_from_federation(self, name: str, account: str = "") -> None:
        """Take an account out of a federation; without a name, the caller."""
        request = control_pb2.RemoveAccountFromFederationRequest(
            federation_name=name, account_name=account or None
        )
        parse = control_pb2.RemoveAccountFromFederationResponse.FromString
        self._call("RemoveAccountFromFederation", request, parse)

    def create_invitation(self, name: str, account: str) -> None:
        """Invite an account into a federation."""
        request = control_pb2.CreateInvitationRequest(
            federation_name=name, invitee_account_name=account
        )
        self._call("CreateInvitation", request, control_pb2.CreateInvitationResponse.FromString)

    def list_invitations(self) -> Invitations:
        """Return the invitations the caller made and got."""
        request = control_pb2.ListInvitationsRequest()
        parse = control_pb2.ListInvitationsResponse.FromString
        return decode_invitations(self._call("ListInvitations", request, parse))

    def accept_invitation(self, name: str) -> None:
        """Join a federation the caller is invited to."""
        request = control_pb2.AcceptInvitationRequest(federation_name=name)
        self._call("AcceptInvitation", request, control_pb2.AcceptInvitationResponse.FromString)

    def reject_invitation(self, name: str) -> None:
        """Decline an invitation to a federation."""
        request = control_pb2.RejectInvitationRequest(federation_name=name)
        self._call("RejectInvitation", request, control_pb2.RejectInvitationResponse.FromString)

    def revoke_invitation(self, name: str, account: str) -> None:
        """Take back an invitation that is not answered yet."""
        request = control_pb2.RevokeInvitationRequest(
            federation_name=name, invitee_account_name=account
        )
        self._call("RevokeInvitation", request, control_pb2.RevokeInvitationResponse.FromString)

    def login_details(self) -> LoginDetails:
        """Return how to log in here; needs no account."""
        request = control_pb2.GetLoginDetailsRequest()
        parse = control_pb2.GetLoginDetailsResponse.FromString
        return decode_login(self._call("GetLoginDetails", request, parse))

    def auth_tokens(self, device_code: str) -> Tokens | None:
        """Return the tokens of a login that was begun; None while it is not finished."""
        request = control_pb2.GetAuthTokensRequest(device_code=device_code)
        parse = control_pb2.GetAuthTokensResponse.FromString
        return decode_tokens(self._call("GetAuthTokens", request, parse))

    def configure_simulation(self, name: str, config: SimulationConfig) -> None:
        """Change the settings of a simulated federation; what is None stays."""
        request = control_pb2.ConfigureSimulationFederationRequest(
            federation_name=name, config=encode_simulation(config)
        )
        parse = control_pb2.ConfigureSimulationFederationResponse.FromString
        self._call("ConfigureSimulationFederation", request, parse)

    def _call(
        self,
        name: str,
        request: Message,
        parse: Callable[[bytes], Response],
        *,
        headers: Headers = (),
    ) -> Response:
        method, body = _CONTROL + name, request.SerializeToString()
        send = self._channel.unary_unary(
            method, request_serializer=bytes, response_deserializer=parse
        )
        try:
            response, call = send.with_call(
                body, timeout=deadline_s(len(body)), metadata=(*self._headers(), *headers)
            )
        except grpc.RpcError as cause:
            raise self._explained(cause, method) from cause
        self._keep(call)
        return response

    def _headers(self) -> Headers:
        tokens = self._keeper.load() if self._keeper else None
        return (*_VERSION, *tokens.headers()) if tokens else _VERSION

    def _keep(self, call: grpc.Call) -> None:
        """Keep the tokens that came with an answer, which replace ours."""
        renewed = renewed_tokens(call.initial_metadata()) if self._keeper else None
        if self._keeper and renewed:
            self._keeper.save(renewed)

    def _explained(self, cause: grpc.RpcError, method: str) -> FlwrError:
        """Return the peer's error, or why there is no peer."""
        if self._explain is not None and is_unanswered(cause):
            return self._explain()
        return from_rpc_error(cause, method=method)


@contextmanager
def open_control(
    address: str, tls: ClientTls | None, keeper: TokenKeeper | None = None
) -> Iterator[ControlClient]:
    """Yield a client of the SuperLink at ``address``; the connection opens at the first call.

    The tokens of ``keeper`` are sent over TLS only.

    Raises:
        AddressError: ``address`` is no ``host:port``.
    """
    explain = partial(diagnose.explain, address, tls)
    with open_channel(address, tls) as channel:
        yield ControlClient(channel, explain=explain, keeper=keeper if tls else None)


def _instant(text: str) -> datetime:
    return decode_time(text) or datetime.fromtimestamp(0, UTC)
