"""Two apps with conflicting packages in one federation; executors that come and go."""

import ast
import re
import time
from pathlib import Path

import pytest
from python_on_whales import Container

from flwr.core.run import RunStatus
from tests.compose.app_images.conftest import NEWER
from tests.compose.app_images.executors import joined, leave
from tests.compose.deployment import Deployment
from tests.harness.apps import config
from tests.harness.program import apps_among, descendants, eventually

OLDER = "acme/older-versions"
HELLO = "Hello, world!"
pytestmark = pytest.mark.timeout(420)  # the first test fetches packages and builds two images


def inventories(federation: Deployment, run_id: str) -> dict[str, dict[str, str]]:
    """Return what each side of a completed run found installed."""
    run = federation.await_end(run_id)
    log = federation.log_of(run_id)
    assert run["status"] == "finished:completed", f"{run}\n{log}"
    found = re.findall(r"^(serverapp|clientapp): (\{.*\})$", log, re.MULTILINE)
    return {side: ast.literal_eval(text) for side, text in found}


def await_app(container: Container) -> None:
    """Wait until a process with project code lives in the container."""

    def lives() -> bool:
        return bool(apps_among(descendants(container.state.pid or 0)))

    eventually(lives, timeout=60, otherwise=lambda: str(container.logs()))


@pytest.mark.row("S27", "S50", "S51", "S55")
def test_apps_with_conflicting_packages_run_at_the_same_time(
    federation: Deployment, older: Path, images: dict[str, str]
) -> None:
    """The older app waits until executors that have its packages join the live federation."""
    waiting = federation.submit(older, *config(pause=8.0))
    time.sleep(2)
    federation.await_status(waiting, RunStatus.PENDING, timeout=1)

    with (
        joined(federation, "serverapp", images["serverapp"], OLDER),
        joined(federation, "clientapp", images["clientapp"], OLDER) as executor,
    ):
        await_app(executor)
        newer = federation.submit(NEWER, *config(pause=1.0))
        theirs = inventories(federation, newer)
        old = inventories(federation, waiting)

    expected = {"numpy": "2.2.6", "humanize": "4.12.3", "hello": HELLO}
    assert old == {"serverapp": expected, "clientapp": expected}
    assert set(theirs) == {"serverapp", "clientapp"}
    assert all(found["numpy"] >= "2.4" for found in theirs.values())
    first, second = federation.run_status(waiting), federation.run_status(newer)
    assert second["running-at"] < first["finished-at"], "they must have run side by side"


@pytest.mark.row("S27")
def test_an_app_without_its_packages_fails_and_names_them(federation: Deployment) -> None:
    run_id = federation.submit(NEWER, *config(packages="humanize"))

    run = federation.await_end(run_id)

    assert run["status"] == "finished:failed"
    assert "humanize" in run["details"]


@pytest.mark.row("S55")
def test_executors_that_leave_let_their_apps_finish(
    federation: Deployment, older: Path, images: dict[str, str]
) -> None:
    with (
        joined(federation, "serverapp", images["serverapp"], OLDER) as server,
        joined(federation, "clientapp", images["clientapp"], OLDER) as client,
    ):
        run_id = federation.submit(older, *config(pause=3.0))
        await_app(client)

        assert leave(client) == 0
        assert leave(server) == 0

        assert set(inventories(federation, run_id)) == {"serverapp", "clientapp"}


@pytest.mark.long
@pytest.mark.row("S55")
def test_an_executor_that_cannot_wait_gives_its_message_back(
    federation: Deployment, older: Path, images: dict[str, str]
) -> None:
    with joined(federation, "serverapp", images["serverapp"], OLDER):
        run_id = federation.submit(older, *config(pause=3.0))
        with joined(federation, "clientapp", images["clientapp"], OLDER, "--drain", "0") as client:
            await_app(client)
            time.sleep(1)

            assert leave(client) == 0

        assert federation.run_status(run_id)["status"] == "running"
        with joined(federation, "clientapp", images["clientapp"], OLDER):
            assert set(inventories(federation, run_id)) == {"serverapp", "clientapp"}
