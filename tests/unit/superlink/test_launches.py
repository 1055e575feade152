from datetime import timedelta

import pytest

from flwr.auth.app_tokens import TokenRefusedError
from flwr.core.errors import FailedPreconditionError
from flwr.core.ids import SUPERLINK_NODE, RunId
from flwr.core.limits import LEASE_AFTER_HEARTBEAT, LEASE_BEFORE_HEARTBEAT, MAX_LAUNCH_ATTEMPTS
from flwr.core.run import RunNotRunningError, RunStatus
from flwr.superlink import topics
from flwr.superlink.launches import NO_HEARTBEAT
from tests.unit.superlink.federation import Link


@pytest.mark.row("S60", "S20")
def test_a_launch_moves_the_run_through_its_states(link: Link) -> None:
    run = link.submit()
    assert link.launches.pending() == [run.run_id]

    token = link.launches.grant(run.run_id)
    assert link.run(run.run_id).status is RunStatus.STARTING
    assert len(token) == 256

    inputs = link.launches.pull_inputs(link.hash_of(token))
    assert inputs.run.status is RunStatus.RUNNING
    assert inputs.fab.content == link.fab

    link.launches.push_outputs(run.run_id, b"context")
    link.launches.update_status(run.run_id, RunStatus.COMPLETED, "")
    final = link.run(run.run_id)
    assert final.status is RunStatus.COMPLETED
    assert final.finished_at == link.clock.now()
    with link.store.reading() as tx:
        assert tx.contexts.find(run.run_id, SUPERLINK_NODE) == b"context"
        tx.events.verify()
    assert link.kinds(run.run_id) == [
        "run.submitted",
        "app.launch-granted",
        "run.starting",
        "run.running",
        "run.completed",
    ]


@pytest.mark.row("F22")
def test_only_one_launch_is_granted_for_a_run(link: Link) -> None:
    run = link.submit()

    assert link.launches.grant(run.run_id) != ""
    assert link.launches.grant(run.run_id) == ""
    assert link.launches.grant(RunId(4)) == ""


@pytest.mark.row("F22")
def test_a_launch_nobody_waited_for_is_offered_again_at_once_and_counts_for_nothing(
    link: Link,
) -> None:
    run = link.submit()
    for _ in range(2 * MAX_LAUNCH_ATTEMPTS):
        token = link.launches.grant(run.run_id)
        assert link.launches.live.find(link.hash_of(token)) is not None
        link.launches.take_back(token)
        assert link.launches.pending() == [run.run_id]
        assert link.launches.live.find(link.hash_of(token)) is None
    link.launches.take_back("no such token")

    link.launches.report_exit(link.launches.grant(run.run_id), "exited with code 1")
    assert link.run(run.run_id).status is RunStatus.PENDING


def test_the_store_never_holds_a_token(link: Link) -> None:
    run = link.submit()
    token = link.launches.grant(run.run_id)
    with link.store.reading() as tx:
        assert token not in repr(tx.leases.list())


def test_inputs_are_handed_out_once(link: Link) -> None:
    _, token = link.running()
    with pytest.raises(FailedPreconditionError, match="pulled before"):
        link.launches.pull_inputs(link.hash_of(token))
    with pytest.raises(TokenRefusedError):
        link.launches.pull_inputs("no such hash")


@pytest.mark.row("F1")
def test_a_serverapp_that_falls_silent_fails_its_run_with_a_cause(link: Link) -> None:
    run, token = link.running()
    assert link.launches.heartbeat(link.hash_of(token))
    link.clock.advance(LEASE_AFTER_HEARTBEAT - timedelta(seconds=1))
    link.reaper.sweep()
    assert link.run(run.run_id).status is RunStatus.RUNNING

    link.pass_time(1)
    link.reaper.sweep()

    ended = link.run(run.run_id)
    assert ended.status is RunStatus.FAILED
    assert ended.details == NO_HEARTBEAT
    assert not link.launches.heartbeat(link.hash_of(token))


@pytest.mark.row("F1")
def test_an_app_that_announces_frequent_heartbeats_is_missed_sooner(link: Link) -> None:
    run, token = link.running()
    assert link.launches.heartbeat(link.hash_of(token), timedelta(seconds=3))
    assert topics.REAPER in link.rung

    link.pass_time(15)
    link.reaper.sweep()

    assert link.run(run.run_id).status is RunStatus.FAILED


@pytest.mark.row("F1")
def test_a_reported_exit_fails_a_running_run_at_once_and_names_the_signal(link: Link) -> None:
    run, token = link.running()

    link.launches.report_exit(token, "was killed by SIGKILL")

    ended = link.run(run.run_id)
    assert ended.status is RunStatus.FAILED
    assert "SIGKILL" in ended.details
    link.launches.report_exit(token, "exited with code 0")  # changes nothing
    assert link.run(run.run_id) == ended


@pytest.mark.row("F7")
def test_a_launch_lost_before_it_began_is_tried_again_a_few_times(link: Link) -> None:
    run = link.submit()
    for _ in range(MAX_LAUNCH_ATTEMPTS - 1):
        link.launches.report_exit(link.launches.grant(run.run_id), "exited with code 1")
        assert link.run(run.run_id).status is RunStatus.PENDING
        assert link.launches.pending() == [run.run_id]

    link.launches.report_exit(link.launches.grant(run.run_id), "exited with code 1")

    assert link.run(run.run_id).status is RunStatus.FAILED
    assert "exited with code 1" in link.run(run.run_id).details


@pytest.mark.row("F7")
def test_a_granted_launch_nobody_used_goes_back_to_the_queue(link: Link) -> None:
    run = link.submit()
    link.launches.grant(run.run_id)

    link.clock.advance(LEASE_BEFORE_HEARTBEAT)
    link.reaper.sweep()

    assert link.run(run.run_id).status is RunStatus.PENDING


def test_a_report_after_the_app_has_finished_changes_nothing(link: Link) -> None:
    run, token = link.running()
    link.launches.update_status(run.run_id, RunStatus.COMPLETED, "")
    link.launches.report_exit(token, "exited with code 0")
    assert link.run(run.run_id).status is RunStatus.COMPLETED


def test_moves_the_table_forbids_change_nothing(link: Link) -> None:
    run = link.submit()
    link.launches.update_status(run.run_id, RunStatus.COMPLETED, "")
    link.launches.update_status(run.run_id, RunStatus.RUNNING, "")
    assert link.run(run.run_id).status is RunStatus.PENDING


def test_a_finished_run_takes_no_second_outcome(link: Link) -> None:
    run, _ = link.running()
    link.launches.update_status(run.run_id, RunStatus.FAILED, "boom")
    with pytest.raises(RunNotRunningError, match=r"^Run is finished\.$"):
        link.launches.update_status(run.run_id, RunStatus.COMPLETED, "")
    assert link.run(run.run_id).details == "boom"


@pytest.mark.row("F6", "F9")
def test_silence_of_our_own_is_forgiven(link: Link) -> None:
    run, token = link.running()
    node = link.online()
    link.pass_time(7200)  # the SuperLink was down, or paused

    link.reaper.forgive()
    link.reaper.sweep()

    assert link.run(run.run_id).status is RunStatus.RUNNING
    assert link.nodes.online(run.run_id) == [node.node_id]
    assert link.launches.heartbeat(link.hash_of(token))
