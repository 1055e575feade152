"""What an operator may set of a SuperExec (wire contract §17)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.lease import AppKind
from flwr.core.limits import DRAIN
from flwr.shell.executor_settings import EXECUTOR_SETTINGS
from flwr.shell.health_settings import HealthConfig, read_health
from flwr.shell.resource_settings import Room, read_room
from flwr.shell.settings import ConfigError, Setting, load_settings
from flwr.shell.transport import require_transport

PROGRAM: Final = "flower-superexec"

_KINDS: Final[Mapping[str, AppKind]] = {
    "clientapp": AppKind.CLIENTAPP,
    "serverapp": AppKind.SERVERAPP,
    "simulation": AppKind.SERVERAPP,  # deprecated alias (wire contract §12.1)
}

SETTINGS: Final = (
    Setting(
        flag="--appio-api-address",
        help="ServerAppIo or ClientAppIo address of the daemon to serve",
        metavar="HOST:PORT",
    ),
    Setting(
        flag="--plugin-type",
        help="which app processes to start; simulation is an old name of serverapp",
        choices=tuple(_KINDS),
    ),
    Setting(flag="--insecure", help="connect in clear text", is_switch=True, default=False),
    Setting(
        flag="--root-certificates",
        help="PEM file with the certificate authority of the daemon's AppIo port",
        metavar="FILE",
    ),
    *EXECUTOR_SETTINGS,
    Setting(
        flag="--parent-pid",
        help="stop when this process ends",
        read=int,
        metavar="PID",
    ),
    Setting(
        flag="--allow-runtime-dependency-installation",
        help="let app processes install what their bundle asks for",
        is_switch=True,
        default=False,
    ),
    Setting(flag="--log-level", help="smallest level logged", default="INFO"),
    Setting(flag="--flwr-dir", help="ignored; older releases pass it", metavar="DIR"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperExecConfig:
    """Checked settings of one SuperExec."""

    address: str
    kind: AppKind
    root_certificates: Path | None  # None: clear text
    secret_file: Path | None
    room: Room
    starts_warm: bool
    parent_pid: int | None
    health: HealthConfig
    only_apps: AppChoice
    drain: timedelta
    allow_dependency_installation: bool
    log_level: str


def load_config(
    argv: Sequence[str], *, env: Mapping[str, str] | None = None
) -> tuple[SuperExecConfig, Mapping[str, Any]]:
    """Return the checked configuration and the plain settings it was made from.

    Raises:
        ConfigError: naming the setting and the remedy.
    """
    description = "Start app processes for a SuperLink or SuperNode, and watch over them."
    values = load_settings(PROGRAM, SETTINGS, argv, description=description, env=env)
    for name in ("appio_api_address", "plugin_type"):
        if values[name] is None:
            flag = f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag} is missing", hint=f"pass {flag}; see --help")
    return _config(values), values


def _config(values: Mapping[str, Any]) -> SuperExecConfig:
    secret = values["superexec_auth_secret_file"]
    kind = _KINDS[values["plugin_type"]]
    return SuperExecConfig(
        address=values["appio_api_address"],
        kind=kind,
        root_certificates=require_transport(
            values["root_certificates"], insecure=values["insecure"]
        ),
        secret_file=Path(secret) if secret is not None else None,
        room=read_room(values, kind),
        starts_warm=values["app_start"] != "fresh",
        parent_pid=values["parent_pid"],
        health=read_health(values),
        only_apps=values["only_apps"] or EVERY_APP,
        drain=DRAIN if values["drain"] is None else timedelta(seconds=values["drain"]),
        allow_dependency_installation=values["allow_runtime_dependency_installation"],
        log_level=values["log_level"],
    )
