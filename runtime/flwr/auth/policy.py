"""Which call needs which proof: one table.  A method that is not in it is refused."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class Proof(StrEnum):
    """What a caller must show."""

    NONE = "none"
    NODE = "node"  # signature by the key of a registered node, bound to the request's node id
    NODE_KEY_ONLY = "node-key-only"  # signature by the key in the request; it needs no node yet
    APP_TOKEN = "app-token"  # noqa: S105 - the name of a proof, not a secret
    SUPEREXEC = "superexec"  # HMAC, where a secret is configured
    LAUNCH = "launch"  # the token of the launch itself, or what a SuperExec shows
    ACCOUNT = "account"


_FLEET: Final = "/flwr.proto.Fleet/"
_SERVERAPPIO: Final = "/flwr.proto.ServerAppIo/"
_CLIENTAPPIO: Final = "/flwr.proto.ClientAppIo/"
_CONTROL: Final = "/flwr.proto.Control/"
_COMPOSE: Final = "/flwr.compose.v1."
_HEALTH: Final = "/grpc.health.v1.Health/"


def _rows(prefix: str, proof: Proof, methods: str) -> dict[str, Proof]:
    return {prefix + method: proof for method in methods.split()}


PROOFS: Final[Mapping[str, Proof]] = {
    **_rows(_FLEET, Proof.NODE_KEY_ONLY, "RegisterNode ActivateNode"),
    **_rows(_FLEET, Proof.NODE, "DeactivateNode UnregisterNode SendNodeHeartbeat"),
    **_rows(_FLEET, Proof.NODE, "PullMessages PushMessages GetRun GetFab"),
    **_rows(_FLEET, Proof.NODE, "PushObject PullObject ConfirmMessageReceived"),
    **_rows(_SERVERAPPIO, Proof.SUPEREXEC, "ListAppsToLaunch RequestToken GetRun"),
    **_rows(_SERVERAPPIO, Proof.APP_TOKEN, "SendAppHeartbeat PullAppInputs PushAppOutputs"),
    **_rows(_SERVERAPPIO, Proof.APP_TOKEN, "PushObject PullObject ConfirmMessageReceived"),
    **_rows(_SERVERAPPIO, Proof.APP_TOKEN, "UpdateRunStatus PushLogs GetFederationOptions"),
    **_rows(_SERVERAPPIO, Proof.APP_TOKEN, "PushMessages PullMessages GetNodes"),
    **_rows(_SERVERAPPIO, Proof.APP_TOKEN, "GetFab GetRunStatus"),  # app processes 1.24 and 1.25
    **_rows(_CLIENTAPPIO, Proof.SUPEREXEC, "ListAppsToLaunch RequestToken GetRun"),
    **_rows(_CLIENTAPPIO, Proof.APP_TOKEN, "SendAppHeartbeat PullAppInputs PushAppOutputs"),
    **_rows(_CLIENTAPPIO, Proof.APP_TOKEN, "PushObject PullObject ConfirmMessageReceived"),
    **_rows(_CLIENTAPPIO, Proof.APP_TOKEN, "PushMessage PullMessage"),
    **_rows(_CLIENTAPPIO, Proof.APP_TOKEN, "PullClientAppInputs PushClientAppOutputs"),  # 1.24-1.25
    **_rows(_COMPOSE, Proof.SUPEREXEC, "WholeLaunches/Take WholeLaunches/OpenTube"),
    **_rows(_COMPOSE, Proof.LAUNCH, "Launches/ReportExit"),
    **_rows(_COMPOSE, Proof.APP_TOKEN, "WholeLaunches/Finish AppLogs/PushAppLogs"),
    **_rows(_COMPOSE, Proof.NODE, "NodeLogs/PushNodeLogs"),
    **_rows(_COMPOSE, Proof.NODE, "NodeBulk/Pull NodeBulk/Push NodeLine/Open"),
    **_rows(_COMPOSE, Proof.APP_TOKEN, "AppBulk/Pull AppBulk/Push AppBulk/OpenHatch"),
    **_rows(_CONTROL, Proof.NONE, "GetLoginDetails GetAuthTokens"),
    **_rows(_CONTROL, Proof.ACCOUNT, "StartRun StopRun StreamLogs ListRuns PullArtifacts"),
    **_rows(_CONTROL, Proof.ACCOUNT, "RegisterNode UnregisterNode ListNodes"),
    **_rows(_CONTROL, Proof.ACCOUNT, "ListFederations ShowFederation CreateFederation"),
    **_rows(_CONTROL, Proof.ACCOUNT, "ArchiveFederation AddNodeToFederation"),
    **_rows(_CONTROL, Proof.ACCOUNT, "RemoveNodeFromFederation RemoveAccountFromFederation"),
    **_rows(_CONTROL, Proof.ACCOUNT, "CreateInvitation ListInvitations AcceptInvitation"),
    **_rows(_CONTROL, Proof.ACCOUNT, "RejectInvitation RevokeInvitation"),
    **_rows(_CONTROL, Proof.ACCOUNT, "ConfigureSimulationFederation StreamRunEvents"),
    **_rows(_HEALTH, Proof.NONE, "Check Watch"),
}


def find_proof(method: str) -> Proof | None:
    """Return what the full method path needs; None means that it must be refused."""
    return PROOFS.get(method)
