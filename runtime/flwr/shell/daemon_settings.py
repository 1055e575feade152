"""Settings that SuperLink and SuperNode share: their AppIo port, who fills it, health and logs.

A daemon appends these rows to its own table and reads them back here, so that both mean the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.auth.tls import TlsFiles
from flwr.shell.addresses import read_address
from flwr.shell.health_settings import HEALTH_SETTINGS, HealthConfig, read_health
from flwr.shell.settings import ConfigError, Setting

ISOLATION: Final = Setting(
    flag="--isolation",
    help="subprocess: start a SuperExec; process: somebody else starts it",
    default="subprocess",
    choices=("subprocess", "process"),
)

REPORTING: Final = (
    *HEALTH_SETTINGS,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class AppIoConfig:
    """The port of SuperExec and apps: where it is, how it is secured, who connects to it."""

    address: str
    starts_superexec: bool
    tls: TlsFiles | None
    is_insecure: bool  # False without files: a certificate is made for our own SuperExec
    superexec_secret: Path | None
    accepts_old_apps: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingConfig:
    """Where the daemon says how it is."""

    health: HealthConfig
    log_level: str
    log_as_json: bool | None  # None: unless on a terminal


def appio_settings(api: str) -> tuple[Setting, ...]:
    """Return the rows about the port that serves ``api``, such as "ServerAppIo"."""
    return (
        Setting(
            flag="--appio-insecure",
            help=f"serve the {api} API in clear text",
            default=False,
            is_switch=True,
        ),
        Setting(flag="--appio-certfile", help=f"certificate of the {api} API (PEM)", read=Path),
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
    )


def read_appio(values: Mapping[str, Any], *, api: str, in_clear_text: bool) -> AppIoConfig:
    """Return what ``values`` say of the port that serves ``api``.

    Args:
        values: of ``appio_settings``, ``ISOLATION`` and the port's address.
        api: such as "ServerAppIo".
        in_clear_text: the daemon's other connections are, which then goes for this one too.

    Raises:
        ConfigError: they contradict each other.
    """
    starts_superexec = values["isolation"] == "subprocess"
    tls = _tls_files(values, needs_authority=starts_superexec)
    is_insecure = tls is None and (values["appio_insecure"] or in_clear_text)
    if tls is None and not is_insecure and not starts_superexec:
        raise ConfigError(
            f"with --isolation process the {api} API needs certificates of its own",
            hint="give --appio-certfile and --appio-keyfile; or, on a "
            "private network, --appio-insecure",
        )
    return AppIoConfig(
        address=read_address(values, f"{api.lower()}_api_address"),
        starts_superexec=starts_superexec,
        tls=tls,
        is_insecure=is_insecure,
        superexec_secret=values["superexec_auth_secret_file"],
        accepts_old_apps=values["appio_accept_old_apps"],
    )


def read_reporting(values: Mapping[str, Any]) -> ReportingConfig:
    """Return what ``values`` say of health and logs.

    Raises:
        ConfigError: the address of the health server is none.
    """
    return ReportingConfig(
        health=read_health(values),
        log_level=values["log_level"],
        log_as_json={"auto": None, "json": True, "text": False}[values["log_format"]],
    )


def _tls_files(values: Mapping[str, Any], *, needs_authority: bool) -> TlsFiles | None:
    certificate, key = values["appio_certfile"], values["appio_keyfile"]
    if bool(certificate) != bool(key):
        raise ConfigError("--appio-certfile and --appio-keyfile go together", hint="give both")
    if not certificate:
        return None
    if values["appio_insecure"]:
        raise ConfigError(
            "--appio-insecure and --appio-certfile contradict each other",
            hint="keep one of them",
        )
    if needs_authority and values["appio_ca_certfile"] is None:
        raise ConfigError(
            "the SuperExec must know whom to trust", hint="give --appio-ca-certfile too"
        )
    return TlsFiles(certificate=certificate, key=key, ca=values["appio_ca_certfile"])
