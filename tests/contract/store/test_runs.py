from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.core.errors import AlreadyExistsError, ConflictError
from flwr.core.ids import AccountId, RunId
from flwr.core.origin import Origin
from flwr.core.run import RunNotFoundError, RunStatus, RunType, advance
from flwr.core.simulation import SimulationConfig
from flwr.store.store import Store
from tests import given

LARGEST = RunId(2**64 - 1)


def test_a_run_comes_back_as_it_was_stored(store: Store) -> None:
    run = given.run(
        run_id=LARGEST,
        override_config={"lr": 0.1, "rounds": 2**63 - 1, "name": "ü\u2028", "fast": True},
        run_type=RunType.SIMULATION,
        simulation=SimulationConfig(num_supernodes=3, client_resources_num_gpus=0.5),
        submit_key="k",
        origin=Origin(commit="a" * 40, url="https://example.org/o/r", subdirectory="apps/ü"),
        details="died: \U0001f4a5",
    )
    with store.transaction() as tx:
        tx.runs.add(run)
    with store.reading() as tx:
        assert tx.runs.require(LARGEST) == run
        assert tx.runs.find(RunId(1)) is None
        with pytest.raises(RunNotFoundError):
            tx.runs.require(RunId(1))


def test_details_no_database_can_hold_are_replaced(store: Store) -> None:
    run = given.run(details="a\0b\udc80")
    with store.transaction() as tx:
        tx.runs.add(run)
        assert tx.runs.require(run.run_id).details == "a\ufffdb?"


def test_a_submit_key_names_one_run_per_account(store: Store) -> None:
    run = given.run(submit_key="k")
    with store.transaction() as tx:
        tx.runs.add(run)
        tx.runs.add(given.run(submit_key="k", account_id=AccountId("other")))
        tx.runs.add(given.run())
        tx.runs.add(given.run())  # no key: no limit
        with pytest.raises(AlreadyExistsError):
            tx.runs.add(given.run(submit_key="k"))
        with pytest.raises(AlreadyExistsError):
            tx.runs.add(replace(run, submit_key=None))
        assert tx.runs.find_by_submit_key(run.account_id, "k") == run
        assert tx.runs.find_by_submit_key(run.account_id, "x") is None


def test_saving_needs_the_status_that_was_read(store: Store) -> None:
    run = given.run()
    starting = advance(run, RunStatus.STARTING, at=given.NOW)
    with store.transaction() as tx:
        tx.runs.add(run)
        tx.runs.add_traffic(run.run_id, sent=3, received=4, clientapp_runtime_s=0.5)
        tx.runs.save(starting, was=RunStatus.PENDING)
        with pytest.raises(ConflictError):
            tx.runs.save(starting, was=RunStatus.PENDING)
        expected = replace(starting, bytes_sent=3, bytes_recv=4, clientapp_runtime_s=0.5)
        assert tx.runs.require(run.run_id) == expected


def test_runs_are_listed_newest_first_in_pages(store: Store) -> None:
    runs = [given.run(pending_at=given.NOW + timedelta(seconds=n // 2)) for n in range(6)]
    with store.transaction() as tx:
        for run in runs:
            tx.runs.add(run)
        everything = tx.runs.list()
        first = tx.runs.list(limit=2)
        rest = tx.runs.list(before=first[-1].run_id)
        assert tx.runs.list(before=RunId(1)) == []
        assert tx.runs.list(account_id=AccountId("nobody")) == []
    assert first + rest == everything
    assert {r.run_id for r in everything} == {r.run_id for r in runs}
    assert [r.pending_at for r in everything] == sorted((r.pending_at for r in runs), reverse=True)


def test_pending_and_unfinished_runs_are_found_oldest_first(store: Store) -> None:
    later = given.run(pending_at=given.NOW + timedelta(seconds=1))
    early = given.run()
    running = given.running_run()
    done = advance(running, RunStatus.COMPLETED, at=given.NOW)
    with store.transaction() as tx:
        for run in (later, early, running, replace(done, run_id=RunId(5))):
            tx.runs.add(run)
        assert tx.runs.pending() == [early.run_id, later.run_id]
        assert {r.run_id for r in tx.runs.unfinished()} == {
            later.run_id,
            early.run_id,
            running.run_id,
        }
