"""The SuperNode's configuration: every flag in one table, checked once, frozen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from flwr.core.lease import AppKind
from flwr.core.limits import (
    CLIENTAPPIO_PORT,
    FLEET_PORT,
    NODE_HEARTBEAT,
    NODE_HEARTBEAT_MAX,
    NODE_HEARTBEAT_MIN,
)
from flwr.core.run_config import ConfigValue, parse_pairs
from flwr.shell.addresses import read_address
from flwr.shell.cpus import available_cpus
from flwr.shell.daemon_settings import (
    ISOLATION,
    REPORTING,
    AppIoConfig,
    ReportingConfig,
    appio_settings,
    read_appio,
    read_reporting,
)
from flwr.shell.executor_settings import OF_CLIENTAPPS, executor_flags
from flwr.shell.resource_settings import read_room
from flwr.shell.settings import ConfigError, Refused, Setting, load_settings

PROGRAM: Final = "flower-supernode"
DESCRIPTION: Final = "Run one site of a federation: it dials out, and has apps executed here."
_APPIO_API: Final = "ClientAppIo"
PUBLIC_AUTHORITIES: Final = "system"

SETTINGS: Final = (
    Setting(
        flag="--superlink",
        help="Fleet API address of the SuperLink",
        default=f"127.0.0.1:{FLEET_PORT}",
        metavar="HOST:PORT",
    ),
    Setting(
        flag="--insecure",
        help="connect in clear text; for tests on one machine only",
        default=False,
        is_switch=True,
    ),
    Setting(
        flag="--root-certificates",
        help=f"certificate authority of the SuperLink (PEM); {PUBLIC_AUTHORITIES}: the public ones",
        metavar="FILE",
    ),
    Setting(flag="--grpc-rere", help="transport of the Fleet API", default=False, is_switch=True),
    Setting(
        flag="--auth-supernode-private-key",
        help="elliptic-curve private key the node is registered by (OpenSSH or PEM)",
        read=Path,
        metavar="FILE",
    ),
    Setting(
        flag="--auth-supernode-public-key",
        help="ignored: the public key is derived from the private one",
        metavar="FILE",
    ),
    Setting(
        flag="--node-config",
        help="what apps are told about this node: 'partition-id=0 data=\"/srv/x\"'",
        default="",
        metavar="PAIRS",
    ),
    ISOLATION,
    *OF_CLIENTAPPS,
    Setting(
        flag="--clientappio-api-address",
        help="where SuperExec and ClientApps connect; port 0 chooses a free one",
        default=f"127.0.0.1:{CLIENTAPPIO_PORT}",
        metavar="HOST:PORT",
    ),
    *appio_settings(_APPIO_API),
    Setting(
        flag="--state-dir",
        help="directory of what must survive a restart: key, inbox, outbox, contexts; "
        "default: nothing survives",
        read=Path,
        metavar="DIR",
    ),
    Setting(
        flag="--max-apps",
        help="ClientApps that run at one time, of different runs (default: one per CPU, or what "
        "there is room for)",
        read=int,
        metavar="N",
    ),
    Setting(
        flag="--max-retries",
        help="tries to reach the SuperLink before giving up; default: no limit",
        read=int,
        metavar="N",
    ),
    Setting(
        flag="--max-wait-time",
        help="seconds to try to reach the SuperLink before giving up; default: no limit",
        read=float,
        metavar="SECONDS",
    ),
    Setting(
        flag="--heartbeat-interval",
        help="seconds between signs of life announced to the SuperLink",
        default=NODE_HEARTBEAT.total_seconds(),
        read=float,
        metavar="SECONDS",
    ),
    Setting(
        flag="--trusted-entities",
        help="YAML list of those whose signature an app needs to run here",
        read=Path,
        metavar="FILE",
    ),
    Setting(
        flag="--share-app-logs",
        help="pass what ClientApps print on to the log of their run",
        default=False,
        is_switch=True,
    ),
    *REPORTING,
)

_GRPC_ONLY: Final = "leave it out: the Fleet API is reached by gRPC"
REFUSED: Final = (
    Refused(flag="--rest", successor=_GRPC_ONLY),
    Refused(flag="--grpc-adapter", successor=_GRPC_ONLY),
    Refused(flag="--flwr-dir", successor="use --state-dir"),
    Refused(
        flag="--allow-runtime-dependency-installation",
        successor="put the app's dependencies into the image of the ClientApp",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperNodeConfig:
    """What the daemon is built from."""

    superlink: str
    is_insecure: bool
    root_certificates: Path | None  # None: the public authorities, unless in clear text
    private_key: Path | None
    node_config: Mapping[str, ConfigValue]
    appio: AppIoConfig
    reporting: ReportingConfig
    state_dir: Path | None  # None: a temporary one
    max_apps: int
    executor_flags: tuple[str, ...]  # what our own SuperExec is told
    max_retries: int | None
    max_wait: timedelta | None
    heartbeat: timedelta
    trusted_entities: Path | None
    shares_app_logs: bool


def load_config(
    argv: Sequence[str], env: Mapping[str, str] | None = None
) -> tuple[SuperNodeConfig, dict[str, Any]]:
    """Return the checked configuration and the raw settings behind it.

    Raises:
        ConfigError: a setting is missing, malformed or contradicts another.
        ConfigSyntaxError: ``--node-config`` cannot be read.
    """
    values = load_settings(
        PROGRAM, SETTINGS, argv, description=DESCRIPTION, env=env, refused=REFUSED
    )
    return make_config(values), values


def make_config(values: Mapping[str, Any]) -> SuperNodeConfig:
    """Return the configuration that ``values`` describe.

    Raises:
        ConfigError: they contradict each other.
        ConfigSyntaxError: the node's configuration cannot be read.
    """
    _check_superlink_tls(values)
    state_dir = values["state_dir"]
    wait, retries = values["max_wait_time"], values["max_retries"]
    roots = values["root_certificates"]
    return SuperNodeConfig(
        superlink=read_address(values, "superlink"),
        is_insecure=values["insecure"],
        root_certificates=None if roots in {None, PUBLIC_AUTHORITIES} else Path(roots),
        private_key=values["auth_supernode_private_key"],
        node_config=parse_pairs(values["node_config"]),
        appio=read_appio(values, api=_APPIO_API, in_clear_text=values["insecure"]),
        reporting=read_reporting(values),
        state_dir=Path(state_dir).expanduser().absolute() if state_dir else None,
        max_apps=_max_apps(values),
        executor_flags=tuple(executor_flags(values, OF_CLIENTAPPS)),
        max_retries=None if retries is None else _at_least(values, "max_retries", 0),
        max_wait=None if wait is None else timedelta(seconds=_at_least(values, "max_wait_time", 0)),
        heartbeat=_heartbeat(values["heartbeat_interval"]),
        trusted_entities=values["trusted_entities"],
        shares_app_logs=values["share_app_logs"],
    )


def _max_apps(values: Mapping[str, Any]) -> int:
    """Return how many leases there are at one time; refuse what our executor would refuse."""
    if values["isolation"] == "subprocess":
        room = read_room(values, AppKind.CLIENTAPP)
        return values["max_apps"] or room.apps
    return available_cpus() if values["max_apps"] is None else _at_least(values, "max_apps", 1)


def _check_superlink_tls(values: Mapping[str, Any]) -> None:
    if not values["insecure"]:
        if values["root_certificates"] is None:
            raise ConfigError(
                "neither --root-certificates nor --insecure is given",
                hint="give --root-certificates FILE with the authority of the SuperLink's "
                f"certificate ({PUBLIC_AUTHORITIES}: the public ones); or, for a test on one "
                "machine, --insecure",
            )
        return
    if values["root_certificates"] is not None:
        raise ConfigError(
            "--insecure and --root-certificates contradict each other", hint="keep one of them"
        )
    if values["auth_supernode_private_key"] is not None:
        raise ConfigError(
            "--auth-supernode-private-key needs TLS: a signature alone can be replayed",
            hint="give --root-certificates instead of --insecure",
        )


def _heartbeat(seconds: float) -> timedelta:
    low, high = NODE_HEARTBEAT_MIN.total_seconds(), NODE_HEARTBEAT_MAX.total_seconds()
    if not low <= seconds <= high:
        raise ConfigError(
            f"--heartbeat-interval is {seconds:g}", hint=f"use {low:g} to {high:g} seconds"
        )
    return timedelta(seconds=seconds)


def _at_least(values: Mapping[str, Any], name: str, least: int) -> Any:
    if not values[name] >= least:
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} is {values[name]}", hint=f"use {least} or more")
    return values[name]
