"""What an operator, or a SuperExec, may set of a runner (wire contract §17)."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from flwr.core.lease import AppKind
from flwr.core.limits import CLIENTAPPIO_PORT, SERVERAPPIO_PORT
from flwr.shell.executor_settings import EXECUTOR_SETTINGS, executor_flags
from flwr.shell.settings import ConfigError, Setting, load_settings
from flwr.shell.transport import require_transport

_DEFAULT_ADDRESS: Final[Mapping[AppKind, str]] = {
    AppKind.SERVERAPP: f"127.0.0.1:{SERVERAPPIO_PORT}",
    AppKind.CLIENTAPP: f"127.0.0.1:{CLIENTAPPIO_PORT}",
}


NO_INSTALLATION: Final = (
    "Dependencies are never installed at run time; derive the app's image instead"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerConfig:
    """Checked settings of one runner."""

    kind: AppKind
    address: str
    token: str = ""
    awaits_token: bool = False  # on standard input; with neither: behave as a SuperExec
    root_certificates: Path | None  # None: clear text
    parent_pid: int | None = None
    allow_dependency_installation: bool = False
    withheld: Path | None = None  # a directory whose files the app may not read
    log_level: str = "INFO"

    def __repr__(self) -> str:
        return f"RunnerConfig(kind={self.kind}, address={self.address})"


def program_of(kind: AppKind) -> str:
    """Return the name of the command that runs apps of ``kind``."""
    return f"flwr-{kind}"


def settings_of(kind: AppKind) -> tuple[Setting, ...]:
    """Return what can be set of a runner of ``kind``."""
    return (
        Setting(
            flag=f"--{kind}io-api-address",
            help="AppIo address of the daemon that granted the launch",
            default=_DEFAULT_ADDRESS[kind],
            metavar="HOST:PORT",
        ),
        Setting(
            flag="--token",
            help="launch token; visible to other users of this machine, prefer --token-stdin",
            is_secret=True,
        ),
        Setting(
            flag="--token-stdin",
            help="read the launch token from standard input, however late it comes",
            is_switch=True,
            default=False,
        ),
        Setting(flag="--insecure", help="connect in clear text", is_switch=True, default=False),
        Setting(
            flag="--root-certificates",
            help="PEM file with the certificate authority of the daemon's AppIo port",
            metavar="FILE",
        ),
        Setting(flag="--parent-pid", help="stop when this process ends", read=int, metavar="PID"),
        Setting(
            flag="--withhold-from-app",
            help="directory whose files the app may not read; a SuperExec passes its secret's",
            metavar="DIR",
        ),
        Setting(
            flag="--allow-runtime-dependency-installation",
            help="accepted for older SuperExecs; put dependencies into the app's image instead",
            is_switch=True,
            default=False,
        ),
        *(
            replace(setting, help=f"only without a token: {setting.help}")
            for setting in EXECUTOR_SETTINGS
        ),
        Setting(flag="--log-level", help="smallest level logged", default="INFO"),
        Setting(
            flag="--run-once", help="ignored; older releases pass it", is_switch=True, default=False
        ),
        Setting(flag="--flwr-dir", help="ignored; older releases pass it", metavar="DIR"),
    )


def load_config(
    kind: AppKind, argv: Sequence[str], *, env: Mapping[str, str] | None = None
) -> tuple[RunnerConfig, Mapping[str, Any]]:
    """Return the checked configuration and the plain settings it was made from.

    Raises:
        ConfigError: naming the setting and the remedy.
    """
    description = f"Run one {kind} of a run; without a token, keep launching them (SuperExec)."
    values = load_settings(
        program_of(kind), settings_of(kind), argv, description=description, env=env
    )
    if values["token"] and values["token_stdin"]:
        raise ConfigError("both --token and --token-stdin are given", hint="keep one of them")
    withheld = values["withhold_from_app"]
    config = RunnerConfig(
        kind=kind,
        address=values[f"{kind}io_api_address"],
        token=values["token"] or "",
        awaits_token=values["token_stdin"],
        root_certificates=require_transport(
            values["root_certificates"], insecure=values["insecure"]
        ),
        parent_pid=values["parent_pid"],
        allow_dependency_installation=values["allow_runtime_dependency_installation"],
        withheld=Path(withheld) if withheld is not None else None,
        log_level=values["log_level"],
    )
    return config, values


def superexec_command(config: RunnerConfig, values: Mapping[str, Any]) -> Sequence[str]:
    """Return the command of the SuperExec that a runner without a token turns into."""
    argv = [sys.executable, "-P", "-m", "flwr.superexec.main"]
    argv += ["--appio-api-address", config.address, "--plugin-type", str(config.kind)]
    if config.root_certificates is None:
        argv += ["--insecure"]
    else:
        argv += ["--root-certificates", str(config.root_certificates)]
    argv += [*executor_flags(values), "--log-level", config.log_level]
    if config.parent_pid is not None:
        argv += ["--parent-pid", str(config.parent_pid)]
    if config.allow_dependency_installation:
        argv += ["--allow-runtime-dependency-installation"]
    return argv
