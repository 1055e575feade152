"""What app code can take from its executor, from runners and from apps of other runs: nothing."""

from typing import Any, Final

import pytest

from flwr.shell.landlock import why_unavailable
from tests.compose.apps import PROBE, met_by
from tests.compose.deployment import Deployment
from tests.harness.apps import config

FILES: Final = ("/run/secrets/superexec-secret", "/run/secrets/appio-ca.crt")
NODES: Final = ("0", "1", "2")


@pytest.fixture(scope="module")
def taken(deployment: Deployment) -> list[dict[str, Any]]:
    """What the apps of two runs met, the second one while the first was at work."""
    if why := why_unavailable():  # containers have this host's kernel
        pytest.skip(why)
    asked = config(deed="take", argument=" ".join(FILES), pause=12.0, nodes=3)
    first = deployment.submit(PROBE, *asked)
    deployment.await_log(first, "doing: take")
    runs = [first, deployment.submit(PROBE, *asked)]
    for run in runs:
        assert deployment.await_end(run)["status"] == "finished:completed"
    return [met_by(deployment, run) for run in runs]


@pytest.mark.row("S54")
def test_app_code_cannot_read_the_secrets_of_its_executor(taken: list[dict[str, Any]]) -> None:
    for met in taken:
        assert sorted(met) == [*NODES, "server"]
        for who, tried in met.items():
            assert tried["here"] == dict.fromkeys(FILES, "Permission denied"), who


@pytest.mark.row("S54")
def test_app_code_cannot_look_into_executor_runner_and_apps_of_other_runs(
    taken: list[dict[str, Any]],
) -> None:
    for met in taken:
        for who, tried in met.items():
            above = "serverapp_main" if who == "server" else "template"
            assert processes_of("flwr.superexec.main", tried) >= 1, who
            assert processes_of(f"flwr.runner.{above}", tried) >= 1, who
            had = [(o, name) for o, all_ in tried.items() for name in all_ if all_[name] == "had"]
            assert not had, who
    second = taken[1]["server"]
    # The first run was at work; a runner may stand by, and who is being started counts as both.
    assert processes_of("flwr.runner.serverapp_main", second) >= 2
    assert processes_of("flwr.runner.child", second) >= 1


@pytest.mark.row("S54")
def test_executors_do_not_warn_where_all_is_kept(
    taken: list[dict[str, Any]], deployment: Deployment
) -> None:
    assert taken
    for name in ("serverapp", "clientapp-1", "clientapp-2", "clientapp-3"):
        assert "apps-unconfined" not in deployment.project.logs(name)


def processes_of(module: str, tried: dict[str, Any]) -> int:
    return sum(module in command for command in tried)
