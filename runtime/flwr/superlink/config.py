"""The SuperLink's configuration: every flag in one table, checked once, frozen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.core.limits import CONTROL_PORT, FLEET_PORT, SERVERAPPIO_PORT
from flwr.shell.settings import ConfigError, Refused, Setting, load_settings

PROGRAM: Final = "flower-superlink"
DESCRIPTION: Final = "Run the hub of a federation: it accepts runs and hands messages to nodes."
IN_MEMORY: Final = ":flwr-in-memory:"  # upstream's name for a database that is not kept

_FLWR_HOME: Final = Path(os.environ.get("FLWR_HOME") or Path.home() / ".flwr")

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
    Setting(flag="--health-server-address", help="serve gRPC health checks here, in clear text"),
    Setting(
        flag="--isolation",
        help="subprocess: start a SuperExec; process: somebody else starts it",
        default="subprocess",
        choices=("subprocess", "process"),
    ),
    Setting(
        flag="--simulation",
        help="execute runs as simulations; no SuperNode can connect",
        default=False,
        is_switch=True,
    ),
    Setting(
        flag="--state-dir",
        help="directory of everything that must survive a restart",
        default=_FLWR_HOME / "superlink",
        read=Path,
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
    Setting(
        flag="--appio-insecure",
        help="serve the ServerAppIo API in clear text",
        default=False,
        is_switch=True,
    ),
    Setting(flag="--appio-certfile", help="certificate of the ServerAppIo API (PEM)", read=Path),
    Setting(flag="--appio-keyfile", help="private key of that certificate (PEM)", read=Path),
    Setting(flag="--appio-ca-certfile", help="certificate of its authority (PEM)", read=Path),
    Setting(
        flag="--superexec-auth-secret-file",
        help="file with the secret that a SuperExec must prove to launch apps",
        read=Path,
    ),
    Setting(
        flag="--appio-accept-old-apps",
        help="serve app processes of releases 1.24 to 1.28, which prove less on each call",
        default=False,
        is_switch=True,
    ),
    Setting(
        flag="--log-level",
        help="smallest level of log lines",
        default="INFO",
        choices=("DEBUG", "INFO", "WARNING", "ERROR"),
    ),
    Setting(
        flag="--log-format",
        help="auto: text on a terminal, JSON lines elsewhere",
        default="auto",
        choices=("auto", "json", "text"),
    ),
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
class TlsFiles:
    """Paths of a server's certificate, key and, where known, authority."""

    certificate: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperLinkConfig:
    """What the daemon is built from."""

    tls: TlsFiles | None  # None: clear text, and the operator said so
    serverappio_address: str
    fleet_address: str
    control_address: str
    health_address: str | None
    starts_superexec: bool
    is_simulation: bool
    state_dir: Path
    database: str
    node_keys: Path | None
    requires_node_auth: bool
    appio_tls: TlsFiles | None
    appio_is_insecure: bool
    superexec_secret: Path | None
    accepts_old_apps: bool
    log_level: str
    log_as_json: bool | None

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
    state_dir = Path(values["state_dir"]).expanduser().absolute()
    requires_auth = values["enable_supernode_auth"] or values["node_keys"] is not None
    if requires_auth and tls is None:
        raise ConfigError(
            "node authentication needs TLS: a signature alone can be replayed",
            hint="give --ssl-certfile, --ssl-keyfile and --ssl-ca-certfile instead of --insecure",
        )
    appio_tls, appio_is_insecure = _appio_tls(values, tls)
    return SuperLinkConfig(
        tls=tls,
        serverappio_address=_address(values, "serverappio_api_address"),
        fleet_address=_address(values, "fleet_api_address"),
        control_address=_address(values, "control_api_address"),
        health_address=(
            _address(values, "health_server_address") if values["health_server_address"] else None
        ),
        starts_superexec=values["isolation"] == "subprocess",
        is_simulation=values["simulation"],
        state_dir=state_dir,
        database=_database(values["database"], state_dir),
        node_keys=values["node_keys"],
        requires_node_auth=requires_auth,
        appio_tls=appio_tls,
        appio_is_insecure=appio_is_insecure,
        superexec_secret=values["superexec_auth_secret_file"],
        accepts_old_apps=values["appio_accept_old_apps"],
        log_level=values["log_level"],
        log_as_json={"auto": None, "json": True, "text": False}[values["log_format"]],
    )


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


def _appio_tls(values: Mapping[str, Any], tls: TlsFiles | None) -> tuple[TlsFiles | None, bool]:
    certificate, key = values["appio_certfile"], values["appio_keyfile"]
    if bool(certificate) != bool(key):
        raise ConfigError("--appio-certfile and --appio-keyfile go together", hint="give both")
    if certificate:
        if values["appio_insecure"]:
            raise ConfigError(
                "--appio-insecure and --appio-certfile contradict each other",
                hint="keep one of them",
            )
        files = TlsFiles(certificate=certificate, key=key, ca=values["appio_ca_certfile"])
        if values["isolation"] == "subprocess" and files.ca is None:
            raise ConfigError(
                "the SuperExec must know whom to trust", hint="give --appio-ca-certfile too"
            )
        return files, False
    if values["appio_insecure"] or tls is None:
        return None, True
    if values["isolation"] == "process":
        raise ConfigError(
            "with --isolation process the ServerAppIo API needs certificates of its own",
            hint="give --appio-certfile, --appio-keyfile and --appio-ca-certfile; or, on a "
            "private network, --appio-insecure",
        )
    return None, False


def _database(given: str | None, state_dir: Path) -> str:
    if given == IN_MEMORY:
        return ":memory:"
    return given or str(state_dir / "superlink.db")


def _address(values: Mapping[str, Any], name: str) -> str:
    text = str(values[name])
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 1 << 16):
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} is {text!r}", hint="write HOST:PORT, such as 0.0.0.0:9092")
    return text
