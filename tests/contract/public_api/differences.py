"""Where our public names differ from upstream's, found and intended."""

import json
import subprocess
import sys
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
SURFACE: Final = HERE / "surface.py"
UPSTREAM: Final = HERE / "upstream-1.29.0.json"
ABSENT: Final = "absent"
Surface = dict[str, dict[str, Any]]

_CONSTANT: Final = "flwr.common.constant"
_TYPING: Final = "flwr.common.typing"


@dataclass(frozen=True)
class Difference:
    """Names (with wildcards) that differ on purpose, and why."""

    names: tuple[str, ...]
    reason: str

    def covers(self, name: str) -> bool:
        """True when the difference of this name is intended."""
        return any(fnmatchcase(name, pattern) for pattern in self.names)


def _in(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.{name}" for name in names.split())


INTENDED: Final = (
    Difference(
        _in("flwr.*", "children deflate inflate is_dirty object_id slice_array"),
        "records are plain values; flwr.wire.objects turns them into objects of the wire",
    ),
    Difference(
        _in("flwr.app", "Array ArrayRecord Message"),
        "takes the same arguments, listed in overloads instead of one signature",
    ),
    Difference(
        ("flwr.common.ParametersRecord",),
        "another name of ArrayRecord",
    ),
    Difference(
        _in("flwr.common.EventType", "FLWR_* RUN_*"),
        "no telemetry is sent, and upstream's programs alone record these",
    ),
    Difference(
        _in(
            _CONSTANT,
            "ACCESS_TOKEN_KEY APP_DIR AUTH* Authn* Authz* *_ADDRESS *_PORT *_OCTET CONN_* "
            "CREDENTIALS_DIR CliOutputFormat EventLogWriterType ExecPluginType FAB_* FLWR_* "
            "GC_THRESHOLD GRPC_ADAPTER_* GRPC_RETRY_* HEARTBEAT_* INT64_MAX_VALUE ISOLATION_* "
            "LOG_* MAX_RETRY_DELAY MESSAGE_TTL_TOLERANCE *_NUM_BYTES NOOP_* *_MESSAGE "
            "PUBLIC_KEY_HEADER PUBLIC_KEY_NOT_VALID REFRESH_TOKEN_KEY RUNTIME_* RUN_FAILURE_* "
            "SIGNATURE_HEADER SYSTEM_TIME_TOLERANCE TIMESTAMP_* TRANSPORT_*",
        ),
        "inner values of upstream's programs, of no use to an app",
    ),
    Difference(
        (f"{_CONSTANT}.ErrorCode",),
        "an IntEnum, whose members equal upstream's plain numbers",
    ),
    Difference(
        _in(
            _TYPING,
            "AccountAuth* AccountInfo Actor ClientAppOutput* Event Fab Federation "
            "InvalidRunStatusException LogEntry",
        ),
        "inner types of upstream's programs, of no use to an app",
    ),
    Difference(
        _in("flwr.server.grid", "GrpcGrid InMemoryGrid"),
        "the runtime makes the Grid; apps get it as an argument",
    ),
    Difference(
        ("flwr.server.workflow.secure_aggregation.secaggplus_workflow.WorkflowState",),
        "has three more fields, after upstream's: what our masks need",
    ),
    Difference(
        ("flwr.serverapp.strategy.strategy_utils.sample_nodes",),
        "takes one more argument, by keyword: how it waits for nodes",
    ),
    Difference(
        ("flwr.server.strategy.FedXgbNnAvg",),
        "deprecated upstream, and its replies (a list for parameters) fit no message",
    ),
    Difference(
        ("flwr.server.utils.tensorboard",),
        "needs TensorFlow; write what Strategy.start returns with any SummaryWriter",
    ),
    Difference(
        _in("flwr.simulation", "SimulationIoConnection run_simulation_process"),
        "inner parts of upstream's simulation program; ours is flwr-simulation",
    ),
    Difference(
        ("flwr.simulation.start_simulation",),
        "upstream's actor_type is a class of its own by default; ours uses no actors of Ray there",
    ),
)


def upstream_surface() -> Surface:
    """Return the recorded facts about upstream's release."""
    return _parsed(UPSTREAM.read_text())


def our_surface() -> Surface:
    """Return the same facts about our package, taken in a process of its own."""
    return _parsed(surface_text(sys.executable))


def surface_text(python: str | Path) -> str:
    """Return what surface.py prints under an interpreter."""
    command = [str(python), "-I", str(SURFACE)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def found_differences(theirs: Surface, ours: Surface) -> dict[str, str]:
    """Return every name of upstream's that ours lacks or has differently, and how."""
    found: dict[str, str] = {}
    for name, wanted in theirs.items():
        if name not in ours:
            found[name] = ABSENT
        elif "same" in wanted:
            if _place(name, ours) != _place(wanted["same"], ours):
                found[name] = f"is not {wanted['same']}"
        else:
            found |= _object_differences(name, wanted, ours[_place(name, ours)])
    return found


def reason_for(name: str) -> str | None:
    """Return why a difference is intended, if it is."""
    return next((d.reason for d in INTENDED if d.covers(name)), None)


def _parsed(text: str) -> Surface:
    found: Surface = json.loads(text)
    return found


def _place(name: str, surface: Surface) -> str:
    first: str = surface.get(name, {}).get("same", name)
    return first


def _object_differences(name: str, wanted: dict[str, Any], found: dict[str, Any]) -> dict[str, str]:
    if found["kind"] != wanted["kind"]:
        return {name: f"{wanted['kind']}, ours: {found['kind']}"}
    differing: dict[str, str] = {}
    for fact in ("signature", "value"):
        if found.get(fact) != wanted.get(fact):
            differing[name] = f"{wanted.get(fact)}, ours: {found.get(fact)}"
    members = found.get("members", {})
    for member, fact in wanted.get("members", {}).items():
        if member not in members:
            differing[f"{name}.{member}"] = ABSENT
        elif members[member] != fact:
            differing[f"{name}.{member}"] = f"{fact}, ours: {members[member]}"
    return differing
