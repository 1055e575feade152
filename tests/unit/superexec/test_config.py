from pathlib import Path

import pytest

from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.core.run import RunType
from flwr.runner.config import load_config as load_runner_config
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
    assert config.max_apps >= 1


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


def launch(kind: AppKind, run_type: RunType = RunType.SERVERAPP) -> Launch:
    return Launch(run_id=RunId(1), token="secret", kind=kind, run_type=run_type)


@pytest.mark.row("F21")
@pytest.mark.parametrize("kind", list(AppKind))
def test_no_token_appears_on_the_command_line(kind: AppKind) -> None:
    launcher = ProcessLauncher("127.0.0.1:9091", root_certificates=Path("/ca.pem"))
    command = list(launcher.command(launch(kind)))
    assert not any("secret" in part for part in command)
    assert "--token-stdin" in command
    assert command[command.index("--root-certificates") + 1] == "/ca.pem"
    assert "secret" not in repr(launch(kind))


@pytest.mark.row("F7")
def test_only_clientapps_watch_their_superexec() -> None:
    launcher = ProcessLauncher("127.0.0.1:9091", root_certificates=None)
    assert "--parent-pid" in launcher.command(launch(AppKind.CLIENTAPP))
    assert "--parent-pid" not in launcher.command(launch(AppKind.SERVERAPP))


def test_a_simulation_is_run_by_the_program_that_runs_serverapps() -> None:
    launcher = ProcessLauncher("127.0.0.1:9091", root_certificates=None)
    simulated = launcher.command(launch(AppKind.SERVERAPP, RunType.SIMULATION))
    assert list(simulated) == list(launcher.command(launch(AppKind.SERVERAPP)))


def test_what_is_withheld_from_apps_goes_by_their_runners() -> None:
    launcher = ProcessLauncher(
        "127.0.0.1:9091", root_certificates=None, withheld=Path("/run/secrets")
    )
    command = launcher.command(launch(AppKind.CLIENTAPP))
    flags = list(command[command.index("--clientappio-api-address") :])
    flags[flags.index("--token-stdin")] = "--token=t"
    runner, _ = load_runner_config(AppKind.CLIENTAPP, flags, env={})
    assert runner.withheld == Path("/run/secrets")
