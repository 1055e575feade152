"""What a person may set of ``flwr-simulation``."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.core.capacity import AppNeeds
from flwr.core.run_config import Config, parse_pairs, parse_toml
from flwr.shell.settings import ConfigError, Setting, load_settings, show_settings
from flwr.simulation.backends import POOL
from flwr.simulation.engine import DEFAULT_NODES
from flwr.simulation.resources import read_needs

PROGRAM: Final = "flwr-simulation"
SETTINGS: Final = (
    Setting(
        flag="--app",
        help="folder or .fab file of the app, or git+https://HOST/OWNER/REPO",
        default=".",
        metavar="PATH",
    ),
    Setting(
        flag="--server-app",
        help="inline app, without a project: the ServerApp",
        default="",
        metavar="FILE.py:OBJECT",
    ),
    Setting(
        flag="--client-app",
        help="inline app: the ClientApp, in another file",
        default="",
        metavar="FILE.py:OBJECT",
    ),
    Setting(
        flag="--git-token-file",
        help="secret of a private repository (git+https): a token, or USER:TOKEN",
        read=Path,
        metavar="FILE",
    ),
    Setting(
        flag="--num-supernodes",
        help="number of virtual nodes",
        default=DEFAULT_NODES,
        read=int,
        metavar="N",
    ),
    Setting(
        flag="--run-config",
        help="""overrides of the app's config: 'lr=0.1 name="a b"', or a .toml file""",
        default="",
        metavar="PAIRS",
    ),
    Setting(
        flag="--workers",
        help="number of worker processes; else as many as there are CPUs",
        read=int,
        metavar="W",
    ),
    Setting(
        flag="--app-start",
        help="warm: workers keep the imported ClientApp; fresh: a process for every message; "
        "else what the app's pyproject.toml says",
        choices=("warm", "fresh"),
    ),
    Setting(flag="--backend", help="what runs the ClientApps: pool or ray", default=POOL),
    Setting(
        flag="--client-resources",
        help="what a ClientApp needs: 'num-cpus=1 num-gpus=0.5 memory=500000000', memory in bytes",
        default="",
        metavar="PAIRS",
    ),
    Setting(
        flag="--init-args",
        help="""arguments of ray.init: 'address="head:6379"' uses that Ray cluster""",
        default="",
        metavar="PAIRS",
    ),
    Setting(
        flag="--format",
        help="form of the result; json: one document on standard output, nothing else there",
        default="text",
        choices=("text", "json"),
    ),
    Setting(
        flag="--quiet",
        help="show warnings and what the app prints, no progress and no summary",
        is_switch=True,
        default=False,
    ),
    Setting(flag="--log-level", help="smallest level logged", default="INFO"),
)
_OF_A_LAUNCH: Final = ("--serverappio-api-address", "--token", "--token-stdin")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """Checked settings of one simulation."""

    app: str  # folder, bundle or git reference
    server_app: str  # of an inline app; else empty
    client_app: str
    git_token_file: Path | None
    num_supernodes: int
    run_config: Config
    workers: int | None
    starts_fresh: bool | None  # None: as the app says
    backend: str
    needs: AppNeeds
    init_args: Mapping[str, Any]
    is_json: bool
    is_quiet: bool
    log_level: str


def load_config(argv: Sequence[str]) -> SimulationSettings | None:
    """Return the settings; None when they were only to be shown.

    Raises:
        ConfigError: naming the setting and the remedy.
        InvalidError: the run config cannot be read, or there is no such client resource.
    """
    values = load_settings(
        PROGRAM, SETTINGS, argv, description="Run an app on many virtual nodes of this machine."
    )
    if values["check_config"]:
        sys.stdout.write(show_settings(SETTINGS, values) + "\n")
        return None
    return SimulationSettings(
        app=values["app"],
        server_app=values["server_app"],
        client_app=values["client_app"],
        git_token_file=values["git_token_file"],
        num_supernodes=values["num_supernodes"],
        run_config=_read_run_config(values["run_config"]),
        workers=values["workers"],
        starts_fresh=None if values["app_start"] is None else values["app_start"] == "fresh",
        backend=values["backend"],
        needs=read_needs(parse_pairs(values["client_resources"])),
        init_args=parse_pairs(values["init_args"]),
        is_json=values["format"] == "json",
        is_quiet=values["quiet"],
        log_level="WARNING" if values["quiet"] else values["log_level"],
    )


def is_launch(argv: Sequence[str]) -> bool:
    """Tell whether a SuperExec started us, to execute a run of its SuperLink."""
    return any(word.partition("=")[0] in _OF_A_LAUNCH for word in argv)


def become_runner(argv: Sequence[str]) -> None:
    """Replace this process by the runner, which knows how to execute runs of a SuperLink."""
    command = [sys.executable, "-P", "-m", "flwr.runner.serverapp_main", *argv]
    os.execv(command[0], command)  # noqa: S606  # no shell, an argument list of ours


def _read_run_config(text: str) -> Config:
    if not text.endswith(".toml"):
        return parse_pairs(text)
    try:
        return parse_toml(Path(text).read_text(encoding="utf-8"), source=text)
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(f"--run-config names {text}, which cannot be read: {cause}") from cause
