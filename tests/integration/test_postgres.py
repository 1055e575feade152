"""A SuperLink whose state is in a PostgreSQL database."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import Federation
from tests.harness.ports import free_address
from tests.harness.postgres import PostgresServer, why_no_postgres
from tests.harness.toolset import OURS

pytestmark = pytest.mark.postgres
ROUNDS = 4


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    if why := why_no_postgres():
        pytest.skip(why)
    with PostgresServer() as running:
        yield running


def settings(**more: object) -> tuple[str, str]:
    return config(**{"num_rounds": ROUNDS, "pause": 0.5, "evaluate": False, **more})


@pytest.mark.long
@pytest.mark.row("F10", "S61")
def test_a_run_survives_a_restart_of_its_database(
    federation: Federation, server: PostgresServer
) -> None:
    superlink = federation.start_superlink(OURS, "--database", server.url)
    for number in (1, 2):
        federation.start_node(number)
    federation.await_nodes(2)
    undisturbed = federation.submit(TINY, *settings())
    federation.await_end(undisturbed)
    run_id = federation.submit(TINY, *settings())
    federation.await_log(run_id, "[ROUND 2/")

    server.stop()
    time.sleep(2)
    server.start()

    run = federation.await_end(run_id)
    assert run["status"] == "finished:completed", federation.log_of(run_id)
    log = federation.log_of(run_id)
    assert digest_in(log) == digest_in(federation.log_of(undisturbed))
    assert superlink.is_alive
    assert server.password not in superlink.output
    assert "Traceback" not in superlink.output


def test_two_superlinks_on_one_database_wake_each_other(
    federation: Federation, server: PostgresServer
) -> None:
    federation.start_superlink(OURS, "--database", server.url)
    for number in (1, 2):
        federation.start_node(number)
    federation.await_nodes(2)
    other = {api: free_address() for api in ("serverappio", "fleet", "control")}
    flags = [part for api in other for part in (f"--{api}-api-address", other[api])]
    flags += ["--insecure", "--isolation", "process", "--database", server.url]
    flags += ["--state-dir", str(federation.root / "second")]
    second = federation.start("second", OURS, "flower-superlink", *flags)
    second.await_port(other["control"])
    time.sleep(1)  # the SuperExec's poll is held by the first one

    federation.control = other["control"]
    run = federation.await_end(federation.submit(TINY, *settings(num_rounds=1, pause=0)))

    assert run["status"] == "finished:completed"
    waited = datetime.fromisoformat(run["starting-at"]) - datetime.fromisoformat(run["pending-at"])
    assert waited.total_seconds() < 15, "a held poll of 20 s was not woken"


def test_a_database_that_refuses_is_said_in_one_line(
    federation: Federation, server: PostgresServer
) -> None:
    url = server.url_of(password="wr0ng")
    link = federation.start("link", OURS, "flower-superlink", "--insecure", "--database", url)
    assert link.wait() == 3
    assert "authentication failed" in link.output
    assert "what to do: check user and password" in link.output
    assert "wr0ng" not in link.output
    assert "Traceback" not in link.output
