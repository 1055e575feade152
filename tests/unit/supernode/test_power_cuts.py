"""A power cut under a SuperNode: nothing it confirmed is lost, and nothing counts twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.message import Delivery
from flwr.supernode.launches import WholeLaunch
from tests.fakes.power import Disk, disk
from tests.fakes.statements import counted
from tests.unit.supernode import given
from tests.unit.supernode.given import NODE, RUN, Sent, Site, scenario
from tests.unit.supernode.test_small_messages import enclosing, offer, until_confirmed, working


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "supernode.db") as made:
        yield made


def site_on(files: Disk) -> Site:
    site = Site(store=files.store)
    site.connect()
    site.admit()
    site.intake._cleared.add(RUN)
    return site


def arriving(site: Site, text: str) -> Sent:
    return given.instruction(site.clock, text=text)


def whole(sent: Sent) -> Delivery:
    return Delivery(sent.delivery.envelope, sent.delivery.tree, sent.contents)


def finish(site: Site, launch: WholeLaunch, context: bytes) -> Sent:
    reply = given.reply(launch.delivery.envelope, site.clock)
    lease = site.leases.live.find(hash_token(launch.token))
    assert lease is not None
    site.launches.finish(lease, whole(reply), context)
    return reply


@pytest.mark.row("F2", "F8")
def test_nothing_is_confirmed_that_a_power_cut_could_take(tmp_path: Path) -> None:
    async def body() -> None:
        with disk(tmp_path / "supernode.db") as files:
            site = enclosing(files.store)
            async with working(site):
                await until_confirmed(site, offer(site, "the first of the run"))
                with counted(site.store) as asked:
                    sent = offer(site, "small")
                    await until_confirmed(site, sent)
                assert (asked.commits, asked.syncs) == (1, 1)
            after = files.cut_power()
            with after.reading() as tx:
                found = tx.messages.find_instruction(sent.message_id)
                assert found is not None
                assert tx.objects.missing(sent.message_id) == []

    scenario(body)


@pytest.mark.row("F2", "F3", "F8")
def test_what_an_app_did_after_the_last_confirmation_is_done_again_from_the_context_before(
    files: Disk,
) -> None:
    async def body() -> None:
        site = site_on(files)
        first, second = arriving(site, "first"), arriving(site, "second")
        site.intake.store_at_hand([whole(first)])
        launch = site.launches.take()
        assert launch is not None
        finish(site, launch, b"after the first")
        with counted(site.store) as asked:
            site.intake.store_at_hand([whole(second)])
            launch = site.launches.take()
            assert launch is not None
            assert launch.inputs.context == b"after the first"
        site.intake.make_durable()  # the second is confirmed
        with counted(site.store) as asked:
            finish(site, launch, b"after the second")
        assert asked.syncs == 0, "nobody waits for the disk before a reply leaves"

        again = Site(store=files.cut_power())
        again.connect()
        assert again.reply_to(first.message_id) is not None, "durable with the second"
        assert again.reply_to(second.message_id) is None
        again.leases.revoke_all("its executor is gone")
        launch = again.launches.take()
        assert launch is not None
        assert launch.delivery == second.delivery
        assert launch.inputs.context == b"after the first", "the state counts each message once"

    scenario(body)


@pytest.mark.row("F3", "F8")
def test_a_reply_that_was_sent_and_not_forgotten_is_in_the_outbox_again(files: Disk) -> None:
    async def body() -> None:
        site = site_on(files)
        sent = arriving(site, "first")
        site.intake.store_at_hand([whole(sent)])
        launch = site.launches.take()
        assert launch is not None
        reply = finish(site, launch, b"")
        site.intake.make_durable()
        site.sent.add(reply.delivery.envelope)
        with counted(site.store) as asked:
            site.sent.forget()
        assert (asked.commits, asked.syncs) == (1, 0)

        again = Site(store=files.cut_power())
        assert again.reply_to(sent.message_id) == reply.delivery.envelope

    scenario(body)


@pytest.mark.row("F2", "F3")
def test_a_node_waits_for_its_disk_when_an_app_has_changed_its_state_and_not_for_each_message(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        with disk(tmp_path / "supernode.db") as files:
            site = enclosing(files.store)
            site.fleet.secure = None  # as on a line, where a reply comes before the confirmation
            syncs = []
            async with working(site):
                await until_confirmed(site, offer(site, "the first of the run"))
                for number, context in enumerate((b"one", b"two", b"two", b"two")):
                    launch = site.launches.take()
                    assert launch is not None
                    finish(site, launch, context)
                    with counted(site.store) as asked:
                        await until_confirmed(site, offer(site, f"after {number}"))
                    syncs.append(asked.syncs)
            assert syncs == [1, 1, 0, 0]
            with files.cut_power().reading() as tx:
                assert tx.contexts.find(RUN, NODE) == b"two"

    scenario(body)
