import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.errors import FailedPreconditionError, InvalidError, NotFoundError
from flwr.core.ids import FabHash, MessageId, ObjectId, RunId
from flwr.core.message import Delivery, ErrorCode
from flwr.core.run import Run
from flwr.store.fabs import Fab
from flwr.supernode.runs import FABS_KEPT
from flwr.supernode.stopwatches import Stopwatches
from tests.fakes.clock import FakeClock
from tests.unit.supernode import given
from tests.unit.supernode.given import NODE, OTHER_RUN, Site


@pytest.mark.row("S21", "S37", "S48")
def test_an_app_gets_run_bundle_and_merged_configuration() -> None:
    site = Site()
    site.admit(rounds=5)
    site.take_in()
    _, lease = site.launch()

    inputs = site.apps.inputs(lease)

    assert inputs.node_id == NODE
    assert inputs.node_config == {"partition-id": 3}
    assert inputs.run_config == {"rounds": 5, "opt.name": "sgd"}
    assert inputs.fab is not None
    assert inputs.fab.content == given.fab().content
    assert inputs.context is None


@pytest.mark.row("S21")
def test_the_context_an_app_leaves_is_what_the_next_one_gets() -> None:
    site = Site()
    for number in (1, 2, 3):
        asked = site.take_in(text=str(number))
        _, lease = site.launch()
        before = site.apps.inputs(lease).context or b""
        site.apps.message(lease)
        site.answer(lease, asked.delivery.envelope)
        site.apps.finish(lease, before + b"+")

    with site.store.reading() as tx:
        assert tx.contexts.find(given.RUN, NODE) == b"+++"


def test_an_app_reads_exactly_the_instruction_it_was_launched_for() -> None:
    site = Site()
    first, second = site.take_in(text="1"), site.take_in(text="2")
    _, lease = site.launch()

    assert site.apps.message(lease).envelope == first.delivery.envelope
    assert site.apps.message(lease) == first.delivery  # asking again is harmless
    assert second.message_id != first.message_id
    for object_id, content in first.contents.items():
        assert site.apps.objects.get(lease, object_id).content == content


def test_a_reply_leaves_once_all_its_objects_are_there_and_its_app_has_finished() -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    site.apps.message(lease)
    sent = given.reply(asked.delivery.envelope, site.clock, payload=b"x" * 200_000)

    message_id, missing = site.apps.accept_reply(lease, sent.delivery)
    assert message_id == sent.message_id
    for object_id in missing:
        assert site.apps.objects.put(lease, object_id, sent.contents[object_id])
    assert "outbox" not in site.rung
    assert not replies_to_send(site)
    site.apps.finish(lease, b"what it keeps")
    assert "outbox" in site.rung
    assert replies_to_send(site) == [sent.message_id]


def replies_to_send(site: Site) -> list[MessageId]:
    with site.store.reading() as tx:
        return [reply.message_id for reply in tx.messages.replies_to_send()]


def test_the_same_reply_twice_is_one_reply_and_another_is_refused() -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    site.apps.message(lease)
    sent = site.answer(lease, asked.delivery.envelope)

    again = site.apps.accept_reply(lease, sent.delivery)
    assert again == (sent.message_id, [])
    site.clock.advance(timedelta(seconds=1))
    other = given.reply(asked.delivery.envelope, site.clock)
    with pytest.raises(FailedPreconditionError):
        site.apps.accept_reply(lease, other.delivery)


def expire(site: Site) -> None:
    site.clock.advance(timedelta(seconds=31))
    site.leases.reap()


def end_run(site: Site) -> None:
    site.runs.end([given.RUN], why="stopped")


@pytest.mark.parametrize("vanish", [expire, end_run])
def test_a_reply_under_way_when_its_instruction_goes_is_answered_as_if_it_counted(
    vanish: Callable[[Site], None],
) -> None:
    site = Site()
    asked = site.take_in(ttl=30.0)
    _, lease = site.launch()  # which the edge finds before it calls what is below
    site.apps.message(lease)
    sent = given.reply(asked.delivery.envelope, site.clock)
    vanish(site)
    assert site.leases.find(lease.token_hash) is None, "the next call is refused"

    assert site.apps.accept_reply(lease, sent.delivery) == (sent.message_id, [])
    site.apps.finish(lease, b"what it keeps")
    site.launches.finish(lease, sent.delivery, b"what it keeps")

    assert site.reply_to(asked.message_id) is None
    with site.store.reading() as tx:
        assert tx.contexts.find(given.RUN, NODE) is None


def test_a_reply_to_something_else_is_refused() -> None:
    site = Site()
    asked, other = site.take_in(text="1"), site.take_in(text="2")
    _, lease = site.launch()
    site.apps.message(lease)
    wrong = given.reply(other.delivery.envelope, site.clock)
    with pytest.raises(InvalidError):
        site.apps.accept_reply(lease, wrong.delivery)

    right = given.reply(asked.delivery.envelope, site.clock)
    outliving = replace(right.delivery.envelope, ttl=right.delivery.envelope.ttl + 1)
    with pytest.raises(InvalidError):
        site.apps.accept_reply(lease, Delivery(outliving, right.delivery.tree))
    assert site.reply_to(asked.message_id) is None


def test_an_app_that_finishes_without_a_reply_is_answered_for() -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    site.apps.message(lease)

    site.apps.finish(lease, b"")

    reply = site.reply_to(asked.message_id)
    assert reply is not None
    assert reply.error is not None
    assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED


@pytest.mark.row("S63")
def test_the_end_of_a_run_ends_its_tokens_and_leaves_nothing_behind() -> None:
    site = Site()
    asked = site.take_in()
    other = site.take_in(OTHER_RUN, text="other")
    token, lease = site.launch()
    site.apps.finish(site.launch(OTHER_RUN)[1], b"state")

    assert site.runs.end([given.RUN], why="stopped") == [given.RUN]
    assert site.runs.end([given.RUN], why="stopped") == []

    assert site.leases.find(lease.token_hash) is None
    assert not site.leases.heartbeat(hash_token(token), next_in=None)
    with pytest.raises(NotFoundError):
        site.apps.message(lease)
    assert site.runs.live() == [OTHER_RUN]
    with site.store.reading() as tx:
        assert tx.messages.find_instruction(asked.message_id) is None
        assert tx.objects.get(ObjectId(asked.message_id)) is None
        assert tx.objects.get(ObjectId(other.message_id)) is not None
        assert tx.contexts.find(OTHER_RUN, NODE) == b"state"


def test_bundles_of_ended_runs_are_kept_for_the_next_run_within_a_bound() -> None:
    site = Site()
    site.admit()
    site.runs.end([given.RUN], why="done")
    assert site.runs.find_fab(given.fab().fab_hash) is not None

    def admit_another(number: int) -> Run:
        content = str(number).encode()
        fab = Fab(FabHash(hashlib.sha256(content).hexdigest()), content)
        run = replace(given.run(site.clock, RunId(1000 + number)), fab_hash=fab.hash)
        assert site.runs.admit(run, fab)
        return run

    for number in range(FABS_KEPT):
        site.runs.end([admit_another(number).run_id], why="done")
    assert site.runs.find_fab(given.fab().fab_hash) is not None
    last = admit_another(FABS_KEPT)
    assert site.runs.find_fab(given.fab().fab_hash) is None
    assert site.runs.find_fab(last.fab_hash) is not None


def test_running_time_is_zero_when_unknown_and_measured_otherwise() -> None:
    clock = FakeClock()
    watches, asked = Stopwatches(clock), given.instruction(clock)
    watches.stop(asked.message_id)
    assert watches.seconds(asked.message_id) == 0.0

    watches.start(asked.message_id)
    clock.advance(timedelta(seconds=2))
    watches.start(asked.message_id)
    clock.advance(timedelta(seconds=3))
    watches.stop(asked.message_id)
    assert watches.seconds(asked.message_id) == 5.0
    watches.forget(asked.message_id)
    assert watches.seconds(asked.message_id) == 0.0
