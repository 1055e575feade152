from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.runner.config import RunnerConfig
from flwr.runner.config import load_config as load_runner_config
from flwr.runner.in_executor import Permit
from flwr.shell.settings import ConfigError
from flwr.superexec.config import load_config
from flwr.superexec.launcher import Launch, ProcessLauncher

BASE = ["--appio-api-address", "127.0.0.1:9091", "--insecure"]


@pytest.mark.parametrize(
    ("plugin", "kind"),
    [
        ("serverapp", AppKind.SERVERAPP),
        ("clientapp", AppKind.CLIENTAPP),
        ("simulation", AppKind.SERVERAPP),
    ],
)
def test_plugin_types_name_kinds(plugin: str, kind: AppKind) -> None:
    config, _ = load_config([*BASE, "--plugin-type", plugin], env={})
    assert config.kind is kind
    assert config.room.apps >= 1


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["--insecure", "--plugin-type", "clientapp"], "--appio-api-address is missing"),
        (BASE, "--plugin-type is missing"),
        ([*BASE[:2], "--plugin-type", "clientapp"], "neither secured nor declared insecure"),
        ([*BASE, "--plugin-type", "clientapp", "--max-apps", "0"], "--max-apps is 0"),
        ([*BASE, "--plugin-type", "clientapp", "--only-apps", "x"], "--only-apps: 'x' is not"),
    ],
)
def test_incomplete_settings_are_refused(argv: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_config(argv, env={})


def runner(**settings: object) -> RunnerConfig:
    config, _ = load_runner_config(AppKind.SERVERAPP, ["--insecure"], env={})
    return replace(config, **settings)  # type: ignore[arg-type]


def launcher_of(**settings: object) -> ProcessLauncher:
    return ProcessLauncher(runner(**settings), lambda: nullcontext(Permit()))


@pytest.mark.row("F21")
def test_no_token_appears_on_the_command_line() -> None:
    launcher = launcher_of(root_certificates=Path("/ca.pem"), token="secret")
    command = list(launcher.command())
    assert not any("secret" in part for part in command)
    assert "--token-stdin" in command
    assert command[command.index("--root-certificates") + 1] == "/ca.pem"
    assert "secret" not in repr(Launch(run_id=RunId(1), token="secret", kind=AppKind.SERVERAPP))


@pytest.mark.row("F7")
def test_a_serverapp_does_not_watch_its_superexec() -> None:
    assert "--parent-pid" not in launcher_of().command()


def test_what_is_withheld_from_apps_goes_by_their_runners() -> None:
    command = launcher_of(withheld=Path("/run/secrets")).command()
    flags = list(command[command.index("--serverappio-api-address") :])
    flags[flags.index("--token-stdin")] = "--token=t"
    read, _ = load_runner_config(AppKind.SERVERAPP, flags, env={})
    assert read.withheld == Path("/run/secrets")


@pytest.mark.parametrize(("said", "warm"), [([], True), (["warm"], True), (["fresh"], False)])
def test_apps_start_warm_unless_told_otherwise(said: list[str], warm: bool) -> None:
    flags = [f"--app-start={word}" for word in said]
    config, _ = load_config([*BASE, "--plugin-type", "clientapp", *flags], env={})
    assert config.starts_warm is warm
