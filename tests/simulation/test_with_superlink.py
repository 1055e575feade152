"""A simulation submitted to a SuperLink is a run like any other; here on the process pool."""

import os
import signal
from collections.abc import Iterator

import pytest

from flwr.core.run import RunStatus
from tests.harness.apps import INLINE, TINY, config
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import descendants, eventually, processes
from tests.harness.simulator import start_simulator, virtual
from tests.harness.sockets import sockets


@pytest.fixture(scope="module")
def simulating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A SuperLink that simulates, without any SuperNode."""
    root = tmp_path_factory.mktemp("simulating")
    with Federation(root, tls=False) as federation:
        start_simulator(federation)
        yield federation


def pooled(nodes: int, *, cpus: int = 1) -> tuple[str, str]:
    """Return the option that asks for so many virtual nodes, with so many CPUs per ClientApp."""
    return virtual(nodes, client_resources_num_cpus=cpus, backend="pool")


def await_workers(federation: Federation) -> set[int]:
    """Return the workers below the SuperLink, as soon as there are some."""
    assert federation.superlink is not None
    top = federation.superlink.pid

    found: set[int] = set()

    def look() -> bool:
        found.update({pid for pid in descendants(top) if pid in workers()})
        return bool(found)

    eventually(look, timeout=90)
    return found


def workers() -> set[int]:
    return {pid for pid, (_, command) in processes().items() if "flwr.simulation.worker" in command}


@pytest.mark.row("S72")
def test_it_is_listed_and_logged(simulating: Federation) -> None:
    run_id = simulating.submit(TINY, *pooled(12), *config(nodes=12, num_rounds=1))
    run = simulating.await_end(run_id)
    assert run["status"] == "finished:completed"
    log = simulating.log_of(run_id)
    assert "partitions: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]" in log
    assert "Received 12 results and 0 failures" in log
    assert "client log: partition 11 round 1" in log


@pytest.mark.row("S46", "S72")
def test_an_app_of_two_files_is_simulated(simulating: Federation) -> None:
    said = config(question="total", factor=1)
    started = simulating.flwr_json("run", CONNECTION, *INLINE, *pooled(4), *said)
    run = simulating.await_end(started["run-id"])
    assert run["status"] == "finished:completed"
    assert "total: 10 from 4" in simulating.log_of(run["run-id"])


@pytest.mark.row("S72")
def test_stopping_it_leaves_no_worker(simulating: Federation) -> None:
    run_id = simulating.submit(TINY, *pooled(12), *config(nodes=12, pause=30.0))
    started = await_workers(simulating)
    assert not sockets(started)
    simulating.flwr("stop", run_id, "test")
    simulating.await_status(run_id, RunStatus.STOPPED)
    eventually(lambda: not started & workers(), timeout=60, otherwise=lambda: f"{started} live")


@pytest.mark.row("S72")
def test_a_serverapp_that_is_killed_takes_its_workers_along(simulating: Federation) -> None:
    run_id = simulating.submit(
        TINY,
        *pooled(4),
        *config(nodes=4, fail="server-waits"),
    )
    started = await_workers(simulating)
    alive = processes()
    (serverapp,) = {alive[pid][0] for pid in started}
    os.kill(serverapp, signal.SIGKILL)
    run = simulating.await_end(run_id)
    assert run["status"] == "finished:failed"
    eventually(lambda: not started & workers(), timeout=60)


def test_an_impossible_request_is_refused_with_the_numbers(
    simulating: Federation,
) -> None:
    run_id = simulating.submit(TINY, *pooled(4, cpus=4000))
    run = simulating.await_end(run_id)
    assert run["status"] == "finished:failed"
    assert "4000 CPUs per ClientApp wanted, this machine has" in simulating.log_of(run_id)


def test_settings_of_the_federation_hold_for_runs_that_say_nothing(simulating: Federation) -> None:
    change = ("federation", "simulation-config", "@none/default", CONNECTION, "--num-supernodes")
    simulating.flwr(*change, "3")
    try:
        on_pool = ("--federation-config", 'backend="pool"')
        run_id = simulating.submit(TINY, *on_pool, *config(nodes=3, num_rounds=1))
        assert simulating.await_end(run_id)["status"] == "finished:completed"
    finally:
        simulating.flwr(*change, "10")
    assert "Simulating 3 nodes" in simulating.log_of(run_id)
