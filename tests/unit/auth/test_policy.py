"""The table of proofs."""

import pytest

from flwr.auth.policy import Proof, find_proof


@pytest.mark.parametrize(
    ("method", "proof"),
    [
        ("/flwr.proto.Fleet/RegisterNode", Proof.NODE_KEY_ONLY),
        ("/flwr.proto.Fleet/ActivateNode", Proof.NODE_KEY_ONLY),
        ("/flwr.proto.Fleet/PullMessages", Proof.NODE),
        ("/flwr.compose.v1.NodeLogs/PushNodeLogs", Proof.NODE),
        ("/flwr.proto.ServerAppIo/RequestToken", Proof.SUPEREXEC),
        ("/flwr.compose.v1.Launches/ReportExit", Proof.LAUNCH),
        ("/flwr.proto.ServerAppIo/PushMessages", Proof.APP_TOKEN),
        ("/flwr.proto.ClientAppIo/PushMessage", Proof.APP_TOKEN),
        ("/flwr.proto.Control/GetLoginDetails", Proof.NONE),
        ("/flwr.proto.Control/StartRun", Proof.ACCOUNT),
        ("/grpc.health.v1.Health/Check", Proof.NONE),
    ],
)
def test_each_kind_of_call_has_its_proof(method: str, proof: Proof) -> None:
    assert find_proof(method) is proof


@pytest.mark.row("F21")
def test_a_method_nobody_listed_has_no_proof() -> None:
    assert find_proof("/flwr.proto.ServerAppIo/DropDatabase") is None
    assert find_proof("/flwr.proto.ClientAppIo/PushMessages") is None
