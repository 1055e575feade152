"""Runs, nodes and federations as the CLI shows them: JSON documents and text cells (app API §9)."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from flwr.core.node import Node, NodeStatus
from flwr.core.origin import Origin
from flwr.core.run import FINAL, Run, RunStatus
from flwr.core.simulation import SimulationConfig

if TYPE_CHECKING:
    from flwr.wire.codec.federations import FederationInfo, Invitation

SHOWN_HASH: Final = 8  # hex digits
_NOT_YET: Final = "N/A"
_COLOUR: Final = {
    RunStatus.COMPLETED: "green",
    RunStatus.FAILED: "red",
    RunStatus.STOPPED: "yellow",
    RunStatus.STARTING: "blue",
    RunStatus.RUNNING: "blue",
}
_NODE_COLOUR: Final = {
    NodeStatus.ONLINE: "green",
    NodeStatus.OFFLINE: "red",
    NodeStatus.UNREGISTERED: "yellow",
    NodeStatus.REGISTERED: "blue",
}
_MINUTES_FROM: Final = 90  # seconds shown as such up to here
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_KILO: Final = 1024
_TEN: Final = 10


def status_text(run: Run) -> str:
    """Return ``running`` or ``finished:failed``."""
    return f"finished:{run.status}" if run.status in FINAL else str(run.status)


def status_colour(run: Run) -> str:
    """Return the colour of a run's status."""
    return _COLOUR.get(run.status, "")


def node_colour(node: Node) -> str:
    """Return the colour of a node's status."""
    return _NODE_COLOUR[node.status]


def stamp_text(at: datetime | None) -> str:
    """Return ``2026-03-01 12:00:00Z``, or ``N/A``."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else _NOT_YET


def duration_text(seconds: float) -> str:
    """Return ``42s``, ``5m 38s``, ``3h 2m`` or ``1d 4h``."""
    whole = int(seconds)
    if whole < _MINUTES_FROM:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR}h"


def bytes_text(size: int) -> str:
    """Return ``512 B``, ``3.8 KB`` or ``12 MB``."""
    value, unit = float(size), "B"
    for larger in ("KB", "MB", "GB", "TB"):
        if value < _KILO:
            break
        value, unit = value / _KILO, larger
    exact = unit == "B" or value >= _TEN
    return f"{value:.0f} {unit}" if exact else f"{value:.1f} {unit}"


def elapsed_s(run: Run, now: datetime) -> float:
    """Return how long the run has been, or was, running; 0 before."""
    if run.running_at is None:
        return 0.0
    return max(0.0, ((run.finished_at or now) - run.running_at).total_seconds())


def changed_at(run: Run) -> datetime:
    """Return when the run got its present status."""
    return run.finished_at or run.running_at or run.starting_at or run.pending_at


def app_text(run: Run) -> str:
    """Return ``@publisher/name==version``."""
    return f"@{run.fab_id}=={run.fab_version}"


def run_document(run: Run, now: datetime) -> dict[str, Any]:
    """Return a run as JSON; ``details`` is the cause of its end."""
    serverapp_s = elapsed_s(run, now)
    return {
        "run-id": str(run.run_id),
        "federation": run.federation,
        "fab-id": run.fab_id,
        "fab-name": run.fab_id.rsplit("/", 1)[-1],
        "fab-version": run.fab_version,
        "fab-hash": run.fab_hash[:SHOWN_HASH],
        "status": status_text(run),
        "details": run.details,
        "elapsed": serverapp_s,
        "pending-at": stamp_text(run.pending_at),
        "starting-at": stamp_text(run.starting_at),
        "running-at": stamp_text(run.running_at),
        "finished-at": stamp_text(run.finished_at),
        "network-traffic": {
            "inbound-bytes": run.bytes_recv,
            "outbound-bytes": run.bytes_sent,
            "total-bytes": run.bytes_recv + run.bytes_sent,
        },
        "compute-time": {
            "serverapp-seconds": serverapp_s,
            "clientapp-seconds": run.clientapp_runtime_s,
            "total-seconds": serverapp_s + run.clientapp_runtime_s,
        },
        **({"origin": origin_document(run.origin)} if run.origin else {}),
    }


def origin_document(origin: Origin) -> dict[str, str]:
    """Return the commit of an app given as a git reference, as JSON."""
    return asdict(origin)


def _origin_rows(origin: Origin | None) -> list[tuple[str, str]]:
    if origin is None:
        return []
    told = [("Commit", origin.commit), ("Repository", origin.url), ("Folder", origin.subdirectory)]
    return [(name, text) for name, text in told if text]


def run_rows(run: Run, now: datetime) -> list[tuple[str, str]]:
    """Return the rows of a run's detail view."""
    serverapp_s, clientapp_s = elapsed_s(run, now), run.clientapp_runtime_s
    return [
        ("Run ID", str(run.run_id)),
        ("Federation", run.federation),
        ("App", app_text(run)),
        ("FAB Hash", f"{run.fab_hash[:SHOWN_HASH]}...{run.fab_hash[-SHOWN_HASH:]}"),
        *_origin_rows(run.origin),
        ("Status", status_text(run)),
        *([("Details", run.details)] if run.details else []),
        ("Elapsed", duration_text(serverapp_s)),
        ("Pending At", stamp_text(run.pending_at)),
        ("Starting At", stamp_text(run.starting_at)),
        ("Running At", stamp_text(run.running_at)),
        ("Finished At", stamp_text(run.finished_at)),
        ("Network traffic (inbound)", bytes_text(run.bytes_recv)),
        ("Network traffic (outbound)", bytes_text(run.bytes_sent)),
        ("Network Traffic (total)", bytes_text(run.bytes_recv + run.bytes_sent)),
        ("Compute Time (ServerApp)", duration_text(serverapp_s)),
        ("Compute Time (ClientApp)", duration_text(clientapp_s)),
        ("Compute Time (total)", duration_text(serverapp_s + clientapp_s)),
    ]


def node_changed_at(node: Node) -> datetime:
    """Return when the node got its present status."""
    by_status = {
        NodeStatus.ONLINE: node.activated_at,
        NodeStatus.OFFLINE: node.deactivated_at,
        NodeStatus.UNREGISTERED: node.unregistered_at,
        NodeStatus.REGISTERED: node.registered_at,
    }
    return by_status[node.status] or node.registered_at


def node_online_s(node: Node, now: datetime) -> float:
    """Return how long the node has been online; 0 if it is not."""
    if node.status is not NodeStatus.ONLINE or node.activated_at is None:
        return 0.0
    return max(0.0, (now - node.activated_at).total_seconds())


def node_document(node: Node, now: datetime) -> dict[str, Any]:
    """Return a node as JSON."""
    return {
        "node-id": str(node.node_id),
        "owner-aid": node.owner_id,
        "owner-name": node.owner_name,
        "status": str(node.status),
        "created-at": stamp_text(node.registered_at),
        "online-at": stamp_text(node.activated_at),
        "online-elapsed": node_online_s(node, now),
        "offline-at": stamp_text(node.deactivated_at),
        "deleted-at": stamp_text(node.unregistered_at),
    }


def federation_document(federation: "FederationInfo") -> dict[str, Any]:
    """Return a federation, as it appears in a list, as JSON."""
    return {
        "name": federation.name,
        "description": federation.description,
        "archived": federation.archived,
        "simulation": federation.simulation,
    }


def invitation_document(invitation: "Invitation") -> dict[str, Any]:
    """Return an invitation into a federation as JSON."""
    return {
        "federation": invitation.federation,
        "inviter": invitation.inviter,
        "invitee": invitation.invitee,
        "status": invitation.status,
        "created-at": stamp_text(invitation.created_at),
        "status-changed-at": stamp_text(invitation.changed_at),
    }


def simulation_document(config: SimulationConfig | None) -> dict[str, Any]:
    """Return the settings of a simulated federation that are set, as JSON."""
    return {k: v for k, v in asdict(config).items() if v is not None} if config else {}
