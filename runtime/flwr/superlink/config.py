"""The SuperLink's configuration: every flag in one table, checked once, frozen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.auth.tls import TlsFiles
from flwr.core.home import HOME_VARIABLE, user_home
from flwr.core.lease import AppKind
from flwr.core.limits import CONTROL_PORT, FLEET_PORT, SERVERAPPIO_PORT
from flwr.shell.addresses import read_address
from flwr.shell.daemon_settings import (
    ISOLATION,
    REPORTING,
    AppIoConfig,
    ReportingConfig,
    appio_settings,
    read_appio,
    read_reporting,
)
from flwr.shell.executor_settings import OF_SERVERAPPS, executor_flags
from flwr.shell.resource_settings import read_room
from flwr.shell.settings import ConfigError, Refused, Setting, load_settings

PROGRAM: Final = "flower-superlink"
DESCRIPTION: Final = "Run the hub of a federation: it accepts runs and hands messages to nodes."
IN_MEMORY: Final = ":flwr-in-memory:"  # upstream's name for a database that is not kept

_APPIO_API: Final = "ServerAppIo"
_STATE: Final = "superlink"  # below the user's directory, unless --state-dir names another

SETTINGS: Final = (
    Setting(
        flag="--insecure",
        help="serve every API in clear text; for tests on one machine only",
        default=False,
        is_switch=True,
    ),
    Setting(flag="--ssl-certfile", help="certificate of Fleet and Control API (PEM)", read=Path),
    Setting(flag="--ssl-keyfile", help="private key of that certificate (PEM)", read=Path),
    Setting(flag="--ssl-ca-certfile", help="certificate of its authority (PEM)", read=Path),
    Setting(
        flag="--serverappio-api-address",
        aliases=("--simulationio-api-address",),
        help="where SuperExec and ServerApps connect; port 0 chooses a free one",
        default=f"127.0.0.1:{SERVERAPPIO_PORT}",
    ),
    Setting(
        flag="--fleet-api-address",
        help="where SuperNodes connect",
        default=f"0.0.0.0:{FLEET_PORT}",
    ),
    Setting(
        flag="--control-api-address",
        aliases=("--exec-api-address",),
        help="where the flwr command connects",
        default=f"0.0.0.0:{CONTROL_PORT}",
    ),
    Setting(
        flag="--fleet-api-type",
        help="transport of the Fleet API; only gRPC is offered",
        default="grpc-rere",
        choices=("grpc-rere",),
    ),
    ISOLATION,
    Setting(
        flag="--simulation",
        help="execute runs as simulations; no SuperNode can connect",
        default=False,
        is_switch=True,
    ),
    Setting(
        flag="--state-dir",
        help="directory of everything that must survive a restart "
        f"(default: {_STATE} in $FLWR_HOME or ~/.flwr)",
        read=Path,
        metavar="DIR",
    ),
    Setting(
        flag="--database",
        help=f"SQLite file or database URL instead of one in the state directory; {IN_MEMORY} "
        "keeps nothing",
        is_secret=True,  # a URL holds a password
    ),
    Setting(
        flag="--node-keys",
        help="file with the public keys of the only nodes that may join, one per line",
        read=Path,
    ),
    Setting(
        flag="--enable-supernode-auth",
        help="only nodes registered by `flwr supernode register` may join",
        default=False,
        is_switch=True,
    ),
    *OF_SERVERAPPS,
    *appio_settings(_APPIO_API),
    *REPORTING,
)

_NO_EXTENSION: Final = "leave it out: the extension it belongs to does not exist here"
REFUSED: Final = (
    Refused(flag="--executor", successor="ServerApps are launched by flower-superexec"),
    Refused(flag="--executor-dir", successor="ServerApps are launched by flower-superexec"),
    Refused(flag="--executor-config", successor="use `flwr run --run-config`"),
    Refused(flag="--auth-list-public-keys", successor="use --node-keys FILE, one key per line"),
    Refused(flag="--auth-superlink-private-key", successor="leave it out: TLS proves the server"),
    Refused(flag="--auth-superlink-public-key", successor="leave it out: TLS proves the server"),
    Refused(flag="--storage-dir", successor="use --state-dir"),
    Refused(flag="--flwr-dir", successor="use --state-dir"),
    Refused(flag="--fleet-api-num-workers", successor="leave it out: one process serves all"),
    Refused(
        flag="--allow-runtime-dependency-installation",
        successor="put the app's dependencies into the image of the ServerApp or ClientApp",
    ),
    Refused(flag="--log-file", successor="the log goes to stderr: redirect it there"),
    Refused(flag="--log-rotation-interval-hours", successor="rotate where stderr is collected"),
    Refused(flag="--log-rotation-backup-count", successor="rotate where stderr is collected"),
    Refused(flag="--account-auth-config", successor=_NO_EXTENSION),
    Refused(flag="--user-auth-config", successor=_NO_EXTENSION),
    Refused(flag="--artifact-provider-config", successor=_NO_EXTENSION),
    Refused(flag="--enable-event-log", successor="leave it out: events are always recorded"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkConfig:
    """What the daemon is built from."""

    tls: TlsFiles | None  # None: clear text, and the operator said so
    fleet_address: str
    control_address: str
    appio: AppIoConfig
    reporting: ReportingConfig
    is_simulation: bool
    state_dir: Path
    database: str
    node_keys: Path | None
    requires_node_auth: bool
    executor_flags: tuple[str, ...] = ()  # what our own SuperExec is told

    @property
    def run_dir(self) -> Path:
        """Directory of secrets and certificates this program makes for its own SuperExec."""
        return self.state_dir / "run"


def load_config(
    argv: Sequence[str], env: Mapping[str, str] | None = None
) -> tuple[SuperLinkConfig, dict[str, Any]]:
    """Return the checked configuration and the raw settings behind it.

    Raises:
        ConfigError: a setting is missing, malformed or contradicts another.
    """
    values = load_settings(
        PROGRAM, SETTINGS, argv, description=DESCRIPTION, env=env, refused=REFUSED
    )
    return make_config(values), values


def make_config(values: Mapping[str, Any]) -> SuperLinkConfig:
    """Return the configuration that ``values`` describe.

    Raises:
        ConfigError: they contradict each other.
    """
    tls = _main_tls(values)
    state_dir = _state_dir(values["state_dir"])
    requires_auth = values["enable_supernode_auth"] or values["node_keys"] is not None
    if requires_auth and tls is None:
        raise ConfigError(
            "node authentication needs TLS: a signature alone can be replayed",
            hint="give --ssl-certfile, --ssl-keyfile and --ssl-ca-certfile instead of --insecure",
        )
    return SuperLinkConfig(
        tls=tls,
        fleet_address=read_address(values, "fleet_api_address"),
        control_address=read_address(values, "control_api_address"),
        appio=read_appio(values, api=_APPIO_API, in_clear_text=tls is None),
        reporting=read_reporting(values),
        is_simulation=values["simulation"],
        state_dir=state_dir,
        database=_database(values["database"], state_dir),
        node_keys=values["node_keys"],
        requires_node_auth=requires_auth,
        executor_flags=_executor_flags(values),
    )


def _executor_flags(values: Mapping[str, Any]) -> tuple[str, ...]:
    if values["isolation"] == "subprocess" and not values["simulation"]:
        read_room(values, AppKind.SERVERAPP)  # refuse here what the executor would refuse for ever
    return tuple(executor_flags(values, OF_SERVERAPPS))


def _main_tls(values: Mapping[str, Any]) -> TlsFiles | None:
    names = ("ssl_certfile", "ssl_keyfile", "ssl_ca_certfile")
    given = [values[name] for name in names]
    if values["insecure"]:
        if any(given):
            raise ConfigError(
                "--insecure and certificates contradict each other", hint="keep one of them"
            )
        return None
    if not all(given):
        raise ConfigError(
            "neither --insecure nor a complete set of certificates is given",
            hint="give --ssl-certfile, --ssl-keyfile and --ssl-ca-certfile; or, for a test on one "
            "machine, --insecure",
        )
    return TlsFiles(certificate=given[0], key=given[1], ca=given[2])


def _state_dir(given: Path | None) -> Path:
    if given is not None:
        return given.expanduser().absolute()
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home).expanduser().absolute() / _STATE
    usual = user_home()
    if usual is None:
        raise ConfigError(
            "this user has no home to keep the SuperLink's state in", hint="give --state-dir DIR"
        )
    return usual / _STATE


def _database(given: str | None, state_dir: Path) -> str:
    if given == IN_MEMORY:
        return ":memory:"
    return given or str(state_dir / "superlink.db")
