"""Signs of life: gathered, durable before they are answered, and never stronger than a goodbye."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import pytest

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId
from flwr.core.node import NodeStatus
from flwr.shell.in_thread import in_thread
from flwr.store.errors import StoreFullError
from flwr.superlink.nodes import Beat
from flwr.superlink.presence import Presence
from tests.unit.superlink.federation import INTERVAL_S, Link

SHORT_S = 10.0


class Watched:
    """Presence over a link, and the batches it has written."""

    def __init__(self, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
        self.link, self.batches = link, list[list[NodeId]]()
        self.presence = Presence(link.nodes, link.clock)
        self.failure: Exception | None = None
        self._renew = link.nodes.renew
        monkeypatch.setattr(link.nodes, "renew", self._noted)
        monkeypatch.setattr("flwr.superlink.presence.ANSWERED_AFTER", timedelta(milliseconds=50))
        monkeypatch.setattr("flwr.superlink.presence.WRITTEN_AFTER", timedelta(milliseconds=200))

    def _noted(self, beats: Sequence[Beat]) -> frozenset[NodeId]:
        self.batches.append([beat.node_id for beat in beats])
        if self.failure is not None:
            raise self.failure
        return self._renew(beats)

    async def written(self, batches: int) -> None:
        async with asyncio.timeout(60):
            while len(self.batches) < batches or self.presence._writer:  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.005)

    def status(self, node_id: NodeId) -> NodeStatus:
        with self.link.store.reading() as tx:
            return tx.nodes.require(node_id).status

    def online_until_s(self, node_id: NodeId) -> float:
        with self.link.store.reading() as tx:
            until = tx.nodes.require(node_id).online_until
        assert until is not None
        return (until - self.link.clock.now()).total_seconds()


@pytest.fixture
def watched(link: Link, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(link, monkeypatch)


def play(body: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(whole())


def test_heartbeats_of_many_nodes_are_one_commit_each_answered_after_it(watched: Watched) -> None:
    async def body() -> None:
        nodes = [watched.link.online().node_id for _ in range(30)]
        assert await watched.presence.heard(nodes[0], INTERVAL_S)
        assert watched.batches == [[nodes[0]]]  # the first after a quiet time waits for nobody

        watched.link.pass_time(10)
        answers = await asyncio.gather(*(watched.presence.heard(n, INTERVAL_S) for n in nodes))

        assert answers == [True] * 30
        assert [len(batch) for batch in watched.batches] == [1, 30]
        assert {watched.online_until_s(n) for n in nodes} == {2 * INTERVAL_S}

    play(body)


def test_a_heartbeat_of_a_node_that_is_gone_is_not_known(watched: Watched) -> None:
    async def body() -> None:
        here, gone = (watched.link.online().node_id for _ in "ab")
        watched.link.nodes.unregister_self(gone)
        answers = [watched.presence.heard(n, INTERVAL_S) for n in (here, gone, NodeId(4))]
        assert await asyncio.gather(*answers) == [True, False, False]

    play(body)


def test_an_interval_outside_the_contract_is_refused_and_spoils_nothing(watched: Watched) -> None:
    async def body() -> None:
        node_id = watched.link.online().node_id
        with pytest.raises(InvalidError):
            await watched.presence.heard(node_id, 9.0)
        assert await watched.presence.heard(node_id, SHORT_S)
        assert watched.online_until_s(node_id) == 2 * SHORT_S

    play(body)


def test_pulls_are_gathered_longer_and_a_heartbeat_takes_them_along(watched: Watched) -> None:
    async def body() -> None:
        nodes = [watched.link.online().node_id for _ in range(4)]
        for node_id in nodes[:2]:
            watched.presence.note(node_id, INTERVAL_S)
        await watched.written(1)
        for node_id in nodes[:3]:
            watched.presence.note(node_id, INTERVAL_S)
        assert await watched.presence.heard(nodes[3], INTERVAL_S)
        assert watched.batches == [nodes[:2], nodes]

    play(body)


def test_who_comes_while_a_batch_is_written_is_in_the_next(watched: Watched) -> None:
    async def body() -> None:
        nodes = [watched.link.online().node_id for _ in range(3)]
        first = asyncio.ensure_future(watched.presence.heard(nodes[0], INTERVAL_S))
        while not watched.batches:  # noqa: ASYNC110 - in a thread
            await asyncio.sleep(0)
        rest = [watched.presence.heard(n, INTERVAL_S) for n in nodes]
        assert await asyncio.gather(first, *rest) == [True] * 4
        assert [sorted(batch) for batch in watched.batches] == [[nodes[0]], sorted(nodes)]

    play(body)


@pytest.mark.row("F10")
def test_what_cannot_be_written_is_told_to_all_who_wait(watched: Watched) -> None:
    async def body() -> None:
        nodes = [watched.link.online().node_id for _ in range(2)]
        watched.failure = StoreFullError("link.db")
        answers = [watched.presence.heard(n, INTERVAL_S) for n in nodes]
        for answer in await asyncio.gather(*answers, return_exceptions=True):
            assert isinstance(answer, StoreFullError)
        watched.failure = None
        assert await watched.presence.heard(nodes[0], INTERVAL_S)

    play(body)


def test_a_caller_that_goes_away_takes_nobody_with_it(watched: Watched) -> None:
    async def body() -> None:
        nodes = [watched.link.online().node_id for _ in range(3)]
        await watched.presence.heard(nodes[0], INTERVAL_S)
        leaving, staying = (
            asyncio.ensure_future(watched.presence.heard(n, INTERVAL_S)) for n in nodes[1:]
        )
        await asyncio.sleep(0)
        leaving.cancel()
        assert await staying
        assert watched.batches[-1] == nodes[1:]

    play(body)


def test_a_goodbye_is_not_undone_by_what_was_heard_before(watched: Watched) -> None:
    async def body() -> None:
        nodes = [watched.link.online().node_id for _ in range(2)]
        for node_id in nodes:
            watched.presence.note(node_id, INTERVAL_S)
        watched.presence.left(nodes[0])
        await in_thread(watched.link.nodes.deactivate, nodes[0])
        await watched.written(1)
        assert [watched.status(n) for n in nodes] == [NodeStatus.OFFLINE, NodeStatus.ONLINE]

        watched.presence.note(nodes[0], INTERVAL_S)  # and what comes after it counts
        await watched.written(2)
        assert watched.status(nodes[0]) is NodeStatus.ONLINE

    play(body)


def test_a_goodbye_during_the_commit_is_not_undone_either(watched: Watched) -> None:
    node_id = watched.link.online().node_id
    beat = Beat(node_id, watched.link.clock.now(), INTERVAL_S)
    watched.presence._being_written = {node_id: beat}

    watched.presence.left(node_id)
    watched.link.nodes.deactivate(node_id)

    assert watched.link.nodes.renew([beat]) == {node_id}
    assert watched.status(node_id) is NodeStatus.OFFLINE


def test_a_node_that_lapsed_is_back_with_any_sign_of_life(watched: Watched) -> None:
    async def body() -> None:
        node_id = watched.link.online().node_id
        watched.link.pass_time(2 * INTERVAL_S)
        watched.link.reaper.sweep()
        assert watched.status(node_id) is NodeStatus.OFFLINE
        watched.presence.note(node_id, INTERVAL_S)
        await watched.written(1)
        assert watched.status(node_id) is NodeStatus.ONLINE
        assert watched.link.kinds().count("node.online") == 2

    play(body)
