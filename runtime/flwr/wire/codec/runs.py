"""Runs and their status <-> protobuf.

The origin of an app is ours alone: it travels as an unknown field of ``flwr.proto.Run``
(``flwr.compose.v1.RunExtras``), which other peers skip.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.origin import Origin
from flwr.core.run import FINAL, Run, RunStatus, RunType
from flwr.proto import run_pb2
from flwr.proto.compose.v1 import runs_pb2
from flwr.wire.codec.config import decode_config, encode_config

_FINISHED: Final = "finished"
_UNKNOWN_TIME: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OUTCOMES: Final[Mapping[str, RunStatus]] = {str(status): status for status in FINAL}
_STAGES: Final[Mapping[str, RunStatus]] = {
    str(status): status for status in RunStatus if status not in FINAL
}


def encode_run(run: Run) -> run_pb2.Run:
    """Return the run as Control and Fleet show it."""
    encoded = run_pb2.Run(
        run_id=run.run_id,
        fab_id=run.fab_id,
        fab_version=run.fab_version,
        fab_hash=run.fab_hash,
        override_config=encode_config(run.override_config),
        pending_at=encode_time(run.pending_at),
        starting_at=encode_time(run.starting_at),
        running_at=encode_time(run.running_at),
        finished_at=encode_time(run.finished_at),
        status=encode_run_status(run.status, run.details),
        flwr_aid=run.account_id,
        federation=run.federation,
        bytes_sent=run.bytes_sent,
        bytes_recv=run.bytes_recv,
        clientapp_runtime=run.clientapp_runtime_s,
        run_type=run.run_type,
    )
    if run.origin is not None:
        encoded.MergeFromString(_encode_origin(run.origin))
    return encoded


def decode_run(run: run_pb2.Run) -> Run:
    """Return the run as a peer tells it; its account's name is not on the wire.

    Raises:
        InvalidError: the status, the type, the origin or a time cannot be read.
    """
    status, details = decode_run_status(run.status)
    return Run(
        run_id=RunId(run.run_id),
        fab_id=run.fab_id,
        fab_version=run.fab_version,
        fab_hash=FabHash(run.fab_hash),
        override_config=decode_config(run.override_config),
        federation=run.federation,
        account_id=AccountId(run.flwr_aid),
        account_name="",
        run_type=_decode_run_type(run.run_type),
        status=status,
        details=details,
        pending_at=decode_time(run.pending_at) or _UNKNOWN_TIME,
        starting_at=decode_time(run.starting_at),
        running_at=decode_time(run.running_at),
        finished_at=decode_time(run.finished_at),
        bytes_sent=run.bytes_sent,
        bytes_recv=run.bytes_recv,
        clientapp_runtime_s=run.clientapp_runtime,
        origin=_decode_origin(run),
    )


def encode_run_status(status: RunStatus, details: str = "") -> run_pb2.RunStatus:
    """Return the status; an outcome is a sub-status of ``finished`` (§11)."""
    if status in FINAL:
        return run_pb2.RunStatus(status=_FINISHED, sub_status=status, details=details)
    return run_pb2.RunStatus(status=status, details=details)


def decode_run_status(status: run_pb2.RunStatus) -> tuple[RunStatus, str]:
    """Return the status and its details.

    Raises:
        InvalidError: there is no such status.
    """
    known = _OUTCOMES if status.status == _FINISHED else _STAGES
    name = status.sub_status if status.status == _FINISHED else status.status
    if name not in known:
        raise InvalidError(f"{status.status!r}:{status.sub_status!r} is no status of a run")
    return known[name], status.details


def encode_time(at: datetime | None) -> str:
    """Return an aware instant in UTC as ISO 8601 with ``+00:00``; empty for None (§7.1)."""
    return at.astimezone(UTC).isoformat() if at else ""


def decode_time(text: str) -> datetime | None:
    """Return the instant in UTC, or None for an empty text.

    Raises:
        InvalidError: it is no ISO 8601 instant with an offset.
    """
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as cause:
        raise InvalidError(f"{text!r} is no ISO 8601 time") from cause
    if at.tzinfo is None:
        raise InvalidError(f"{text!r} names no offset from UTC")
    return at.astimezone(UTC)


def _decode_run_type(text: str) -> RunType:
    try:
        return RunType(text) if text else RunType.SERVERAPP  # peers below 1.28 send none
    except ValueError as cause:
        raise InvalidError(f"{text!r} is no type of a run") from cause


def _encode_origin(origin: Origin) -> bytes:
    told = runs_pb2.Origin(commit=origin.commit, url=origin.url, subdirectory=origin.subdirectory)
    return runs_pb2.RunExtras(origin=told).SerializeToString()


def _decode_origin(run: run_pb2.Run) -> Origin | None:
    try:
        extras = runs_pb2.RunExtras.FromString(run.SerializeToString())
    except DecodeError as cause:
        raise InvalidError("the origin of a run cannot be decoded") from cause
    if not extras.HasField("origin"):
        return None
    told = extras.origin
    return Origin(commit=told.commit, url=told.url, subdirectory=told.subdirectory)
