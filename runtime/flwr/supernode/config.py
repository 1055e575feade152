"""The SuperNode's configuration: every flag in one table, checked once, frozen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from flwr.core.limits import (
    CLIENTAPPIO_PORT,
    FLEET_PORT,
    NODE_HEARTBEAT,
    NODE_HEARTBEAT_MAX,
    NODE_HEARTBEAT_MIN,
)
from flwr.core.run_config import ConfigValue, parse_pairs
from flwr.shell.settings import ConfigError, Refused, Setting, load_settings

PROGRAM: Final = "flower-supernode"
DESCRIPTION: Final = "Run one site of a federation: it dials out, and has apps executed here."
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
    Setting(
        flag="--isolation",
        help="subprocess: start a SuperExec; process: somebody else starts it",
        default="subprocess",
        choices=("subprocess", "process"),
    ),
    Setting(
        flag="--clientappio-api-address",
        help="where SuperExec and ClientApps connect; port 0 chooses a free one",
        default=f"127.0.0.1:{CLIENTAPPIO_PORT}",
        metavar="HOST:PORT",
    ),
    Setting(
        flag="--appio-insecure",
        help="serve the ClientAppIo API in clear text",
        default=False,
        is_switch=True,
    ),
    Setting(flag="--appio-certfile", help="certificate of the ClientAppIo API (PEM)", read=Path),
    Setting(flag="--appio-keyfile", help="private key of that certificate (PEM)", read=Path),
    Setting(flag="--appio-ca-certfile", help="certificate of its authority (PEM)", read=Path),
    Setting(
        flag="--superexec-auth-secret-file",
        help="file with the secret that a SuperExec must prove to launch apps",
        read=Path,
        metavar="FILE",
    ),
    Setting(
        flag="--appio-accept-old-apps",
        help="serve app processes of releases 1.24 to 1.28, which prove less on each call",
        default=False,
        is_switch=True,
    ),
    Setting(
        flag="--state-dir",
        help="directory of what must survive a restart: key, inbox, outbox, contexts; "
        "default: nothing survives",
        read=Path,
        metavar="DIR",
    ),
    Setting(
        flag="--max-apps",
        help="ClientApps that run at one time, of different runs",
        default=os.cpu_count() or 1,
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
    Setting(
        flag="--health-server-address",
        help="serve gRPC health checks here, in clear text",
        metavar="HOST:PORT",
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
class AppIoTlsFiles:
    """Paths of the ClientAppIo certificate, its key and, where known, its authority."""

    certificate: Path
    key: Path
    ca: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperNodeConfig:
    """What the daemon is built from."""

    superlink: str
    is_insecure: bool
    root_certificates: Path | None  # None: the public authorities, unless in clear text
    private_key: Path | None
    node_config: Mapping[str, ConfigValue]
    starts_superexec: bool
    clientappio_address: str
    appio_tls: AppIoTlsFiles | None
    appio_is_insecure: bool  # False without files: an ephemeral certificate is made
    superexec_secret: Path | None
    accepts_old_apps: bool
    state_dir: Path | None  # None: a temporary one
    max_apps: int
    max_retries: int | None
    max_wait: timedelta | None
    heartbeat: timedelta
    trusted_entities: Path | None
    shares_app_logs: bool
    health_address: str | None
    log_level: str
    log_as_json: bool | None


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
    appio_tls, appio_is_insecure = _appio_tls(values)
    state_dir, health = values["state_dir"], values["health_server_address"]
    wait, retries = values["max_wait_time"], values["max_retries"]
    roots = values["root_certificates"]
    return SuperNodeConfig(
        superlink=_address(values, "superlink"),
        is_insecure=values["insecure"],
        root_certificates=None if roots in {None, PUBLIC_AUTHORITIES} else Path(roots),
        private_key=values["auth_supernode_private_key"],
        node_config=parse_pairs(values["node_config"]),
        starts_superexec=values["isolation"] == "subprocess",
        clientappio_address=_address(values, "clientappio_api_address"),
        appio_tls=appio_tls,
        appio_is_insecure=appio_is_insecure,
        superexec_secret=values["superexec_auth_secret_file"],
        accepts_old_apps=values["appio_accept_old_apps"],
        state_dir=Path(state_dir).expanduser().absolute() if state_dir else None,
        max_apps=_at_least(values, "max_apps", 1),
        max_retries=None if retries is None else _at_least(values, "max_retries", 0),
        max_wait=None if wait is None else timedelta(seconds=_at_least(values, "max_wait_time", 0)),
        heartbeat=_heartbeat(values["heartbeat_interval"]),
        trusted_entities=values["trusted_entities"],
        shares_app_logs=values["share_app_logs"],
        health_address=_address(values, "health_server_address") if health else None,
        log_level=values["log_level"],
        log_as_json={"auto": None, "json": True, "text": False}[values["log_format"]],
    )


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


def _appio_tls(values: Mapping[str, Any]) -> tuple[AppIoTlsFiles | None, bool]:
    certificate, key = values["appio_certfile"], values["appio_keyfile"]
    if bool(certificate) != bool(key):
        raise ConfigError("--appio-certfile and --appio-keyfile go together", hint="give both")
    is_process = values["isolation"] == "process"
    if certificate:
        if values["appio_insecure"]:
            raise ConfigError(
                "--appio-insecure and --appio-certfile contradict each other",
                hint="keep one of them",
            )
        files = AppIoTlsFiles(certificate=certificate, key=key, ca=values["appio_ca_certfile"])
        if not is_process and files.ca is None:
            raise ConfigError(
                "the SuperExec must know whom to trust", hint="give --appio-ca-certfile too"
            )
        return files, False
    if values["appio_insecure"] or values["insecure"]:
        return None, True
    if is_process:
        raise ConfigError(
            "with --isolation process the ClientAppIo API needs certificates of its own",
            hint="give --appio-certfile, --appio-keyfile and --appio-ca-certfile; or, on a "
            "private network, --appio-insecure",
        )
    return None, False


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


def _address(values: Mapping[str, Any], name: str) -> str:
    text = str(values[name]).removeprefix("https://").removeprefix("http://")
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 1 << 16):
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} is {text!r}", hint="write HOST:PORT, such as 127.0.0.1:9092")
    return text
