from datetime import timedelta

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.errors import UnauthenticatedError
from flwr.core.ids import RunId
from flwr.core.limits import (
    APP_PATIENCE,
    LEASE_AFTER_HEARTBEAT,
    LEASE_BEFORE_HEARTBEAT,
    MAX_LAUNCH_ATTEMPTS,
)
from flwr.core.message import ErrorCode
from flwr.store.objects import ObjectState
from tests.unit.supernode import given
from tests.unit.supernode.given import OTHER_RUN, RUN, Site


def test_a_run_with_a_waiting_instruction_is_listed_until_it_has_an_app() -> None:
    site = Site()
    assert site.leases.runs_to_launch() == []
    site.take_in(text="1")
    site.take_in(text="2")

    assert site.leases.runs_to_launch() == [RUN]
    site.launch()
    assert site.leases.runs_to_launch() == []  # one app per run at a time
    assert site.leases.grant(RUN) is None


@pytest.mark.row("S5", "S38")
def test_several_runs_are_launched_side_by_side_up_to_the_limit() -> None:
    site = Site(max_apps=2)
    first, second, third = (RunId(OTHER_RUN + number) for number in (1, 2, 3))
    for run_id in (first, second, third):
        site.take_in(run_id, text=str(run_id))

    assert len(site.leases.runs_to_launch()) == 2
    site.launch(first)
    site.launch(second)
    assert site.leases.runs_to_launch() == []
    assert site.leases.grant(third) is None


def test_a_launch_nobody_waited_for_is_offered_again_at_once_and_counts_for_nothing() -> None:
    site = Site()
    asked = site.take_in()
    for _ in range(2 * MAX_LAUNCH_ATTEMPTS):
        token, _ = site.launch()
        site.leases.take_back(token)
        assert site.leases.runs_to_launch() == [RUN]
        assert site.leases.find(hash_token(token)) is None
    site.leases.take_back(None)  # nothing had been granted

    assert site.reply_to(asked.message_id) is None


def test_a_token_is_good_until_its_lapsed_lease_is_ended() -> None:
    site = Site()
    site.take_in()
    token, lease = site.launch()
    assert lease.run_id == RUN

    site.clock.advance(LEASE_BEFORE_HEARTBEAT)
    site.leases.reap()
    with pytest.raises(UnauthenticatedError):
        site.leases.require(token)
    assert not site.leases.heartbeat(hash_token(token), next_in=None)
    with pytest.raises(UnauthenticatedError):
        site.leases.require("")


def test_a_runner_that_announces_its_heartbeats_is_missed_sooner() -> None:
    site = Site()
    site.take_in()
    token, _ = site.launch()

    assert site.leases.heartbeat(hash_token(token), next_in=timedelta(seconds=3))
    assert site.leases.require(token).until == site.clock.now() + APP_PATIENCE


def test_an_upstream_runner_keeps_its_minute() -> None:
    site = Site()
    site.take_in()
    token, _ = site.launch()

    site.clock.advance(timedelta(seconds=50))
    assert site.leases.heartbeat(hash_token(token), next_in=None)
    assert site.leases.require(token).until == site.clock.now() + LEASE_AFTER_HEARTBEAT


@pytest.mark.row("F5")
def test_an_app_that_dies_with_its_message_is_answered_for_at_once() -> None:
    site = Site()
    asked = site.take_in()
    token, lease = site.launch()
    site.apps.message(lease)

    site.leases.report_exit(token, exit_code=-9, cause="was killed by SIGKILL")

    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.error is not None
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED
    assert reply.error.reason == "ClientApp was killed by SIGKILL"
    assert reply.created_at + reply.ttl <= asked.delivery.envelope.created_at + 600.0
    assert "outbox" in site.rung
    assert site.leases.runs_to_launch() == []
    with pytest.raises(UnauthenticatedError):
        site.leases.require(token)


def test_a_late_report_about_a_finished_app_changes_nothing() -> None:
    site = Site()
    asked = site.take_in()
    token, lease = site.launch()
    site.apps.message(lease)
    site.answer(lease, asked.delivery.envelope)
    site.apps.finish(lease, b"")

    site.leases.report_exit(token, exit_code=1, cause="exited with code 1")

    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.error is None


@pytest.mark.row("F2")
def test_an_app_that_never_had_its_message_is_launched_again_and_at_last_answered_for() -> None:
    site = Site()
    asked = site.take_in()
    for _ in range(MAX_LAUNCH_ATTEMPTS):
        assert site.reply_to(asked.message_id) is None
        token, _ = site.launch()
        site.leases.report_exit(token, exit_code=1, cause="exited with code 1")

    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.error is not None
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "launched 3 times" in reply.error.reason
    assert site.leases.runs_to_launch() == []


def test_half_a_reply_of_a_dead_app_becomes_an_error_reply() -> None:
    site = Site()
    asked = site.take_in()
    token, lease = site.launch()
    site.apps.message(lease)
    half = given.reply(asked.delivery.envelope, site.clock).delivery
    site.apps.accept_reply(lease, half)

    site.leases.report_exit(token, exit_code=-11, cause="was killed by SIGSEGV")

    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.error is not None
    with site.store.reading() as tx:
        assert [r.envelope for r in tx.messages.replies_to_send()] == [reply]


@pytest.mark.row("F9")
def test_silence_ends_a_lease_and_the_next_deadline_is_known() -> None:
    site = Site()
    asked = site.take_in(ttl=3600.0)
    token, lease = site.launch()
    site.apps.message(lease)
    assert site.leases.reap() == lease.until

    site.clock.advance(LEASE_BEFORE_HEARTBEAT)
    assert site.leases.reap() is None

    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.error is not None
    assert "no heartbeat" in reply.error.reason
    with pytest.raises(UnauthenticatedError):
        site.leases.require(token)


def test_an_expired_instruction_is_forgotten_with_its_lease() -> None:
    site = Site()
    asked = site.take_in(ttl=30.0)
    _token, lease = site.launch()
    site.apps.message(lease)

    site.clock.advance(timedelta(seconds=31))
    site.leases.reap()

    with site.store.reading() as tx:
        assert tx.messages.find_instruction(asked.message_id) is None
        assert tx.leases.list() == []


def test_leases_are_renewed_when_it_was_the_node_that_was_away() -> None:
    site = Site()
    site.take_in(ttl=7200.0)
    token, _ = site.launch()
    site.clock.advance(timedelta(hours=1))

    site.leases.renew_all()

    assert site.leases.require(token).until == site.clock.now() + LEASE_AFTER_HEARTBEAT


@pytest.mark.row("F9")
def test_an_app_that_is_heard_before_the_reaper_wakes_up_keeps_its_lease() -> None:
    site = Site()
    site.take_in(ttl=7200.0)
    token, lease = site.launch()
    site.clock.advance(timedelta(hours=1))  # the whole machine slept

    assert site.leases.find(lease.token_hash) is not None
    assert site.leases.heartbeat(hash_token(token), next_in=timedelta(seconds=3))
    site.leases.reap()
    assert site.leases.require(token).until == site.clock.now() + APP_PATIENCE


@pytest.mark.row("F7", "F44")
def test_work_of_a_lost_superexec_is_done_again_not_answered() -> None:
    site = Site()
    asked = site.take_in()
    token, lease = site.launch()
    site.apps.message(lease)

    assert site.leases.revoke_all("the SuperExec was killed by SIGKILL") == 1

    assert site.reply_to(asked.message_id) is None
    assert site.leases.runs_to_launch() == [RUN]
    assert not site.leases.heartbeat(hash_token(token), next_in=None)


def test_work_that_kills_every_superexec_is_answered_at_last() -> None:
    site = Site()
    asked = site.take_in()
    for _ in range(MAX_LAUNCH_ATTEMPTS):
        _, lease = site.launch()
        site.apps.message(lease)
        site.leases.revoke_all("the SuperExec was killed by SIGKILL")

    assert site.reply_to(asked.message_id) is not None


def test_a_reply_whose_app_was_lost_before_its_state_was_kept_is_made_again() -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    site.apps.message(lease)
    first = site.answer(lease, asked.delivery.envelope, payload=b"x" * 200_000)

    site.leases.revoke_all("the SuperExec was killed by SIGKILL")

    assert site.reply_to(asked.message_id) is None
    with site.store.reading() as tx:
        assert all(tx.objects.state(one) is ObjectState.UNKNOWN for one in first.contents)
        assert not tx.objects.missing(asked.message_id)
    _, again = site.launch()
    site.apps.message(again)
    second = site.answer(again, asked.delivery.envelope, payload=b"y" * 200_000)
    site.apps.finish(again, b"state")
    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.message_id == second.message_id


def test_a_reply_of_an_app_that_ended_by_itself_is_sent() -> None:
    site = Site()
    asked = site.take_in()
    token, lease = site.launch()
    site.apps.message(lease)
    sent = site.answer(lease, asked.delivery.envelope)

    site.leases.report_exit(token, exit_code=-9, cause="was killed by SIGKILL")

    with site.store.reading() as tx:
        due = [reply.message_id for reply in tx.messages.replies_to_send()]
    assert due == [sent.message_id]


@pytest.mark.row("S27")
def test_an_executor_of_some_apps_is_shown_their_runs_even_behind_those_of_others() -> None:
    site = Site(max_apps=1)
    site.take_in()
    ours, others = AppChoice(frozenset({"acme/tiny-app"})), AppChoice(frozenset({"lab/else"}))

    assert site.leases.runs_to_launch(ours) == [RUN]
    assert site.leases.runs_to_launch(others) == []
    assert site.leases.unserved(others) == {RUN: "acme/tiny-app"}
    assert site.leases.unserved(ours) == {}
    assert site.leases.unserved(EVERY_APP) == {}


@pytest.mark.row("S63")
def test_what_a_leaving_superexec_stopped_waits_for_another_and_counts_for_nothing() -> None:
    site = Site()
    asked = site.take_in()
    for _ in range(2 * MAX_LAUNCH_ATTEMPTS):
        token, lease = site.launch()
        site.apps.message(lease)
        site.leases.report_exit(token, exit_code=143, cause="exited with code 143", stopped=True)
        assert site.leases.runs_to_launch() == [RUN]

    assert site.reply_to(asked.message_id) is None
