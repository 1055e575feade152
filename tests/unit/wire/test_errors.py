"""What a status of a foreign peer means."""

import grpc
import pytest

from flwr.core.errors import DeniedError, ErrorKind, FlwrError
from flwr.wire.errors import from_rpc_error
from flwr.wire.status import error_of
from flwr.wire.transport import PeerNotRunningError


def test_permission_denied_means_not_running_except_on_control() -> None:
    on_fleet = error_of(7, "Run is finished.", method="/flwr.proto.Fleet/GetRun")
    on_control = error_of(7, "no", method="/flwr.proto.Control/StopRun")

    assert isinstance(on_fleet, PeerNotRunningError)
    assert isinstance(on_control, DeniedError)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNKNOWN, ErrorKind.INTERNAL),
        (grpc.StatusCode.CANCELLED, ErrorKind.UNAVAILABLE),
        (grpc.StatusCode.DEADLINE_EXCEEDED, ErrorKind.UNAVAILABLE),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ErrorKind.TOO_LARGE),
        (grpc.StatusCode.UNIMPLEMENTED, ErrorKind.UNIMPLEMENTED),
        (grpc.StatusCode.UNAUTHENTICATED, ErrorKind.UNAUTHENTICATED),
    ],
)
def test_a_status_without_trailers_has_a_kind(code: grpc.StatusCode, kind: ErrorKind) -> None:
    error = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "text")

    rebuilt = from_rpc_error(error, method="/flwr.proto.Fleet/GetRun")

    assert (rebuilt.kind, rebuilt.message, rebuilt.hint) == (kind, "text", "")


def test_an_unknown_kind_of_a_newer_peer_falls_back_to_the_status() -> None:
    error = error_of(5, "gone", method="/flwr.proto.Control/StopRun", kind="vanished")

    assert error.kind is ErrorKind.NOT_FOUND


def test_a_status_without_details_says_its_name() -> None:
    assert error_of(14, "", method="/x/y").message == "unavailable"


def test_an_error_without_a_status_is_internal() -> None:
    assert type(from_rpc_error(grpc.RpcError("odd"), method="/x/y")) is FlwrError
