"""Runs on PostgreSQL, the death of the database, several SuperLinks on an empty one."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from images.inputs import local_image
from python_on_whales import Container

from flwr.shell.exits import ExitCode
from tests.compose.deployment import Deployment
from tests.compose.postgres.conftest import DOCKER, Database
from tests.compose.training import assert_undisturbed, await_round, online_nodes, submit
from tests.harness.program import eventually
from tests.harness.toolset import ROOT

SUPERLINK = local_image(ROOT, "superlink")
TOGETHER = 3


def test_a_restarted_superlink_finds_its_runs_in_the_database(federation: Deployment) -> None:
    nodes, run_id = online_nodes(federation), submit(federation, num_rounds=1)
    assert_undisturbed(federation, run_id, rounds=1)
    assert "db" not in federation.project.python("superlink", "import os; print(os.listdir('.'))")

    DOCKER.restart(federation.project.container("superlink"))
    federation.project.await_health("superlink")
    federation.await_nodes(2)

    assert_undisturbed(federation, run_id, rounds=1)
    assert online_nodes(federation) == nodes


@pytest.mark.row("F10")
def test_a_run_survives_the_crash_of_its_database(federation: Deployment) -> None:
    run_id = submit(federation)
    await_round(federation, run_id, 2)

    federation.project.crash("postgres")
    eventually(lambda: federation.project.container("postgres").restart_count == 1, timeout=60)
    federation.project.await_health("postgres")

    assert_undisturbed(federation, run_id)
    assert federation.project.container("superlink").restart_count == 0


@pytest.mark.row("F11")
def test_a_wrong_password_ends_the_superlink_with_its_cause(database: Database) -> None:
    url = database.url(inside=True).replace(database.password, "guessed")

    with started(database, url) as (container,):
        assert DOCKER.container.wait(container) == ExitCode.UNREACHABLE
        said = str(container.logs())

    assert "password authentication failed" in said
    assert "guessed" not in said
    assert "Traceback" not in said


def test_superlinks_that_start_together_migrate_an_empty_database_once(database: Database) -> None:
    with started(database, database.url(inside=True), count=TOGETHER) as superlinks:
        for container in superlinks:
            await_serving(container)

    with database.connect() as connection:
        assert len(connection.execute("SELECT * FROM alembic_version").fetchall()) == 1


@contextmanager
def started(database: Database, url: str, count: int = 1) -> Iterator[list[Container]]:
    """Start SuperLinks beside the database, all at the same time."""
    options: dict[str, Any] = {
        "envs": {"FLWR_SUPERLINK_DATABASE": url},
        "networks": [database.network],
        "read_only": True,
        "tmpfs": ["/tmp", "/data:uid=10001"],  # noqa: S108  the container's own
        "detach": True,
    }
    with ThreadPoolExecutor(count) as threads:
        containers = list(
            threads.map(lambda _: DOCKER.run(SUPERLINK, ["--insecure"], **options), range(count))
        )
    try:
        yield containers
    finally:
        DOCKER.container.remove(containers, force=True)


def await_serving(container: Container) -> None:
    """Wait until a SuperLink serves."""
    eventually(
        lambda: "SuperLink serves" in str(container.logs()),
        timeout=60,
        step=0.2,
        otherwise=lambda: str(container.logs()),
    )


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.timeout(420)  # a whole suite, also on a busy machine
def test_the_store_keeps_its_contract_on_this_server(database: Database) -> None:
    environment = {**os.environ, "FLWR_TEST_POSTGRES_URL": database.url(inside=False)}
    command = [sys.executable, "-m", "pytest", "-q", "tests/contract/store", "-k", "postgres"]

    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed
    assert int(passed[1]) > 80, done.stdout[-3000:]
