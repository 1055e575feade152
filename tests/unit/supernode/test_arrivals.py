"""What an executor got as it came is written with its reply; until then everybody finds it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.errors import AlreadyExistsError, InvalidError
from flwr.core.message import Delivery
from flwr.supernode.launches import WholeLaunch
from tests.fakes.power import disk
from tests.fakes.statements import counted
from tests.unit.supernode import given
from tests.unit.supernode.given import RUN, Sent, Site, scenario
from tests.unit.supernode.test_handover import arrive, arriving, connected, finish, waiting


async def launched(site: Site, text: str = "") -> tuple[Sent, WholeLaunch]:
    """Let an instruction arrive for an executor that waits."""
    sent, delivery = arriving(site, text)
    async with waiting(site) as call:
        with counted(site.store) as asked:
            arrive(site, delivery)
        launch = await call
    assert launch is not None
    assert asked.commits == 0, "nothing is written of it"
    return sent, launch


def whole(sent: Sent) -> Delivery:
    return Delivery(sent.delivery.envelope, sent.delivery.tree, sent.contents)


def test_its_reply_is_written_with_it_and_neither_lease_nor_objects_are() -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        with counted(site.store) as asked:
            finish(site, sent, launch, b"context")
        assert asked.commits == 1
        written = " ".join(asked.statements)
        assert "INTO instruction" in written
        assert "lease" not in written.replace("lease-", "")
        with site.store.reading() as tx:
            assert tx.leases.list() == []
            asked_for = tx.messages.find_instruction(sent.message_id)
            assert asked_for is not None
            assert asked_for.replied_at is not None
            assert tx.objects.contents(sent.message_id) == {}
            kinds = [event.kind for event in tx.events.list(RUN)]
            tx.events.verify()
        assert kinds[-4:] == [
            "instruction-received",
            "lease-granted",
            "reply-accepted",
            "lease-ended",
        ]
        assert site.reply_to(sent.message_id) is not None

    scenario(body)


LOOKS: list[Callable[[Site, str], object]] = [
    lambda site, token: site.leases.heartbeat(hash_token(token), next_in=None),
    lambda site, token: site.leases.require(token),
    lambda site, _token: site.runs.with_apps() == [RUN],
    lambda site, _token: site.leases.find_for_run(RUN),
]


@pytest.mark.parametrize("look", LOOKS)
def test_whoever_looks_before_finds_all_of_it(look: Callable[[Site, str], object]) -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        with counted(site.store) as asked:
            assert look(site, launch.token)
        assert asked.commits >= 1
        with site.store.reading() as tx:
            found = tx.messages.find_instruction(sent.message_id)
            assert found is not None
            assert found.delivery == sent.delivery
            assert tx.objects.contents(sent.message_id) == sent.contents
        with counted(site.store) as asked:
            finish(site, sent, launch, b"")
        assert asked.commits == 1
        assert site.leases.find_for_run(RUN) is None
        assert site.reply_to(sent.message_id) is not None

    scenario(body)


@pytest.mark.row("F4")
def test_an_executor_that_dies_has_its_work_done_again() -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        site.leases.report_exit(launch.token, exit_code=9, cause="killed", stopped=True)
        again = site.launches.take()
        assert again is not None
        assert again.delivery == whole(sent)

    scenario(body)


def test_a_second_instruction_of_the_run_waits_for_the_first() -> None:
    async def body() -> None:
        site = connected()
        first, launch = await launched(site, "first")
        second, delivery = arriving(site, "second")
        async with waiting(site) as call:
            arrive(site, delivery)
            assert not call.done()
            finish(site, first, launch, b"")
            again = await call
        assert again is not None
        assert again.delivery.envelope.message_id == second.message_id

    scenario(body)


@pytest.mark.row("F8")
def test_one_that_is_handed_out_again_is_not_executed_twice() -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        async with waiting(site) as call:
            with pytest.raises(AlreadyExistsError):
                arrive(site, whole(sent))
            finish(site, sent, launch, b"")
            with pytest.raises(AlreadyExistsError):
                arrive(site, whole(sent))
            assert not call.done()

    scenario(body)


def test_a_reply_that_is_refused_leaves_the_launch_as_it_was() -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        lease = site.leases.live.recall(hash_token(launch.token))
        assert lease is not None
        half = given.reply(sent.delivery.envelope, site.clock).delivery
        with pytest.raises(InvalidError, match="whole reply"):
            site.launches.finish(lease, half, b"")
        finish(site, sent, launch, b"")
        assert site.reply_to(sent.message_id) is not None

    scenario(body)


def test_a_launch_that_ends_before_its_app_began_waits_for_another() -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        lease = site.leases.live.recall(hash_token(launch.token))
        assert lease is not None
        site.launches.finish(lease, None, b"")
        again = site.launches.take()
        assert again is not None
        assert again.delivery == whole(sent)

    scenario(body)


def test_a_run_that_ends_takes_it_along() -> None:
    async def body() -> None:
        site = connected()
        sent, launch = await launched(site)
        site.runs.end([RUN], why="over")
        assert site.leases.live.recall(hash_token(launch.token)) is None
        with site.store.reading() as tx:
            assert tx.messages.find_instruction(sent.message_id) is None
            assert tx.leases.list() == []

    scenario(body)


@pytest.mark.row("F2", "F8")
def test_it_is_written_before_it_is_confirmed(tmp_path: Path) -> None:
    async def body() -> None:
        with disk(tmp_path / "supernode.db") as files:
            site = Site(store=files.store)
            site.connect()
            site.admit()
            site.intake._cleared.add(RUN)
            sent, _ = await launched(site)
            assert site.fleet.secure is not None
            await site.fleet.secure()
            with files.cut_power().reading() as tx:
                assert tx.messages.find_instruction(sent.message_id) is not None
                assert tx.objects.contents(sent.message_id) == sent.contents

    scenario(body)
