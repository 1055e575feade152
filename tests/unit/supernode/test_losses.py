"""Large content that a power cut took: its instruction is fetched and executed again."""

import asyncio
from collections.abc import Iterable
from unittest.mock import Mock

import pytest

from flwr.core.ids import ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES
from flwr.supernode.inbox import confirmed_after
from flwr.supernode.replies import WAITING
from tests.unit.supernode import given
from tests.unit.supernode.given import NODE, Sent, Site, scenario
from tests.unit.supernode.test_inbox import receiving
from tests.unit.supernode.test_pieces import large, streaming


def lose(site: Site, objects: Iterable[ObjectId]) -> None:
    """Leave the store as it is opened after a power cut that took these."""
    with site.store.transaction() as tx:
        for object_id in objects:
            tx.objects.forget(object_id)


def answered(site: Site, context: bytes = b"", text: str = "") -> tuple[Sent, Sent]:
    asked = site.take_in(text=text)
    _, lease = site.launch()
    reply = site.answer(lease, asked.delivery.envelope, payload=b"p" * 1000)
    site.apps.finish(lease, context)
    return asked, reply


def is_fetched_again(site: Site, asked: Sent) -> bool:
    return [one.envelope for one in site.intake.unfinished()] == [asked.delivery.envelope]


@pytest.mark.row("F8")
def test_an_instruction_whose_reply_is_lost_is_executed_again() -> None:
    async def body() -> None:
        site = Site()
        site.connect()
        asked, reply = answered(site)
        lose(site, reply.contents)

        site.membership.adopt(NODE)

        assert site.reply_to(asked.message_id) is None
        assert is_fetched_again(site, asked)

    scenario(body)


@pytest.mark.row("F8")
def test_an_instruction_that_is_lost_itself_waits_until_it_is_here_again() -> None:
    async def body() -> None:
        site = Site()
        site.connect()
        asked = site.take_in()
        lose(site, list(asked.contents)[:1])

        site.membership.adopt(NODE)

        assert is_fetched_again(site, asked)
        assert site.leases.grant(asked.delivery.envelope.run_id) is None

    scenario(body)


def test_what_is_whole_and_what_an_app_works_on_stays() -> None:
    async def body() -> None:
        site = Site()
        site.connect()
        whole, reply = answered(site)
        half = site.take_in(text="another")
        _, lease = site.launch()
        site.apps.accept_reply(lease, reply_to(site, half).delivery)

        site.membership.adopt(NODE)

        assert site.reply_to(whole.message_id) == reply.delivery.envelope
        assert site.reply_to(half.message_id) is not None
        assert not site.intake.unfinished()

    scenario(body)


def reply_to(site: Site, asked: Sent) -> Sent:
    return given.reply(asked.delivery.envelope, site.clock, payload=b"q" * 1000)


def test_a_reply_is_durable_before_the_context_that_counts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site()
    settle = Mock(wraps=site.store.settle_objects)
    monkeypatch.setattr(site.store, "settle_objects", settle)
    for number, (context, times) in enumerate(((b"one", 1), (b"one", 1), (b"two", 2))):
        answered(site, context, text=str(number))
        assert settle.call_count == times


def test_of_what_is_unsynced_only_the_reply_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    reply = site.answer(lease, asked.delivery.envelope, payload=b"p" * 200_000)
    with site.store.reading() as tx:
        files = tx.objects.files_of(reply.message_id)
        assert not tx.objects.files_of(asked.message_id)
    settle = Mock(wraps=site.store.settle_objects)
    monkeypatch.setattr(site.store, "settle_objects", settle)

    site.apps.finish(lease, b"state")

    settle.assert_called_once_with(files)
    large = [one for one, content in reply.contents.items() if len(content) > INLINE_OBJECT_BYTES]
    assert [file[3:67] for file in files] == large


def test_a_large_instruction_that_is_answered_soon_is_not_confirmed_by_a_call() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        patience = confirmed_after(sent.delivery)
        settle = Mock(wraps=site.store.settle_objects)
        site.store.settle_objects = settle  # type: ignore[method-assign]

        async def is_executable() -> bool | None:
            is_here = site.intake.is_open(sent.delivery) and not site.intake.unfinished()
            return is_here or None

        async with receiving(site):
            await site.wakeups.until({WAITING}, is_executable, timeout=patience)
            with site.store.transaction() as tx:
                tx.messages.delete([sent.message_id])  # as when its reply was sent
            await asyncio.sleep(1.2 * patience.total_seconds())
        assert not site.fleet.confirmed
        assert not settle.called

    scenario(body)
