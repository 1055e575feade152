import asyncio
from datetime import timedelta
from random import Random

import pytest

from flwr.core.clock import SystemClock
from flwr.core.errors import (
    FailedPreconditionError,
    FlwrError,
    UnauthenticatedError,
    UnavailableError,
)
from flwr.core.ids import NodeId
from flwr.core.limits import NODE_HEARTBEAT, RETRY_CAP
from flwr.shell.exits import ExitCode, exit_code_of
from flwr.supernode.fleet import FleetSession, GaveUpError, NodeRejectedError, Patience
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.pulse import Pulse
from flwr.wire.diagnose import ConnectionRefusedByPeerError, WrongCaError
from tests.fakes.clock import FakeClock
from tests.unit.supernode.fakes import FakeFleet, unreachable
from tests.unit.supernode.given import NODE, scenario

IN_USE = "Public key already in use"


class Joining:
    """A session with everything it talks to."""

    def __init__(
        self,
        *,
        keyed: bool = False,
        ephemeral: bool = True,
        cause: FlwrError | None = None,
        patience: Patience | None = None,
    ) -> None:
        self.fleet, self.clock = FakeFleet(), FakeClock()
        self.adopted: list[NodeId] = []
        self.identity = NodeIdentity(registers_itself=not keyed, is_ephemeral=ephemeral)
        self.session = FleetSession(
            self.fleet,
            self.identity,
            self.clock,
            fingerprint="SHA256:abc",
            remembers=lambda: bool(self.adopted),
            adopt=self.adopted.append,
            explain=lambda: cause or ConnectionRefusedByPeerError("superlink:9092"),
            patience=patience or Patience(),
        )


@pytest.mark.row("S34")
def test_an_open_node_registers_itself_and_comes_online() -> None:
    async def body() -> None:
        node = Joining()
        await node.session.connect()
        assert node.fleet.calls == {"register": 1, "activate": 1}
        assert node.identity.node_id == NODE
        assert node.adopted == [NODE]

    scenario(body)


def test_a_keyed_node_does_not_register_itself() -> None:
    async def body() -> None:
        node = Joining(keyed=True)
        await node.session.connect()
        assert node.fleet.calls == {"activate": 1}

    scenario(body)


@pytest.mark.row("F4")
def test_a_node_that_restarts_with_its_key_just_activates() -> None:
    async def body() -> None:
        node = Joining()
        node.fleet.failures["register"] = [FailedPreconditionError(IN_USE)]
        await node.session.connect()
        assert node.identity.node_id == NODE

    scenario(body)


@pytest.mark.row("F4")
def test_a_crashed_node_waits_until_it_is_no_longer_taken_for_online() -> None:
    async def body() -> None:
        node = Joining()
        refusal = FailedPreconditionError("Node is already online")
        node.fleet.failures["activate"] = [refusal, refusal]
        await node.session.connect()
        assert node.fleet.calls["activate"] == 3

    scenario(body)


def test_a_superlink_that_stumbles_over_heartbeats_does_not_end_the_node() -> None:
    async def body() -> None:
        node = Joining()
        node.session.pulse = Pulse(SystemClock(), timedelta(milliseconds=20))
        await node.session.connect()
        node.fleet.failures["heartbeat"] = [FlwrError("the server failed") for _ in range(6)]
        beating = asyncio.create_task(node.session.heartbeats())
        await node.fleet.until(lambda: node.fleet.calls["heartbeat"] > 6)
        assert not beating.done()
        beating.cancel()

    scenario(body)


@pytest.mark.row("S33")
def test_a_key_the_superlink_does_not_list_ends_the_node_with_its_fingerprint() -> None:
    async def body() -> None:
        node = Joining(keyed=True)
        node.fleet.failures["activate"] = [FailedPreconditionError("no node has this public key")]
        with pytest.raises(NodeRejectedError, match="SHA256:abc") as raised:
            await node.session.connect()
        assert exit_code_of(raised.value) is ExitCode.DENIED
        assert raised.value.hint

    scenario(body)


@pytest.mark.row("F18")
def test_a_clock_that_is_off_ends_the_node_with_the_superlinks_hint() -> None:
    async def body() -> None:
        node = Joining()
        error = UnauthenticatedError("Invalid timestamp", hint="the node's clock is 86400 s behind")
        node.fleet.failures["register"] = [error]
        with pytest.raises(NodeRejectedError) as raised:
            await node.session.connect()
        assert "86400" in raised.value.hint

    scenario(body)


@pytest.mark.row("S30", "F19")
def test_a_tls_mismatch_at_the_start_is_told_not_retried() -> None:
    async def body() -> None:
        node = Joining(cause=WrongCaError("superlink:9092", "self-signed"))
        node.fleet.failures["register"] = [unreachable()]
        with pytest.raises(WrongCaError) as raised:
            await node.session.connect()
        assert exit_code_of(raised.value) is ExitCode.UNREACHABLE

    scenario(body)


def test_a_tls_mismatch_later_may_be_a_rotation_and_is_waited_out() -> None:
    async def body() -> None:
        node = Joining(cause=WrongCaError("superlink:9092", "self-signed"))
        await node.session.connect()
        node.fleet.failures["heartbeat"] = [unreachable()]
        assert await node.session.attempt(node.fleet.heartbeat, NODE_HEARTBEAT)

    scenario(body)


def test_a_superlink_that_is_not_there_yet_is_waited_for() -> None:
    async def body() -> None:
        node = Joining()
        node.fleet.failures["register"] = [unreachable(), unreachable()]
        await node.session.connect()
        assert node.fleet.calls["register"] == 3

    scenario(body)


@pytest.mark.row("F38")
def test_nodes_whose_superlink_is_gone_try_again_at_moments_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nodes, tries = 50, 10
    pauses: list[list[float]] = []

    async def sleep(seconds: float) -> None:
        pauses[-1].append(seconds)

    async def body() -> None:
        monkeypatch.setattr("flwr.supernode.fleet.asyncio.sleep", sleep)
        same_always = Random(7).uniform  # noqa: S311 - keeps no secret
        monkeypatch.setattr("flwr.supernode.fleet.random.uniform", same_always)
        for _ in range(nodes):
            node = Joining()
            node.fleet.failures["register"] = [unreachable() for _ in range(tries)]
            pauses.append([])
            await node.session.connect()

    scenario(body)

    for of_one in pauses:
        assert len(of_one) == tries
        for number, pause in enumerate(of_one):
            longest = min(0.2 * 2**number, RETRY_CAP.total_seconds())
            assert longest / 2 <= pause <= longest
    last = sorted(map(sum, pauses))
    together = max(sum(1 for one in last if at <= one < at + 1) for at in last)
    assert together <= nodes / 4, "within one second"


def test_patience_can_be_bounded_by_tries() -> None:
    async def body() -> None:
        node = Joining(patience=Patience(max_retries=1))
        node.fleet.failures["register"] = [unreachable(), unreachable()]
        with pytest.raises(GaveUpError) as raised:
            await node.session.connect()
        assert exit_code_of(raised.value) is ExitCode.UNREACHABLE

    scenario(body)


def test_patience_can_be_bounded_by_time() -> None:
    async def body() -> None:
        node = Joining(patience=Patience(max_wait=timedelta(0)))
        node.fleet.failures["register"] = [unreachable()]
        with pytest.raises(GaveUpError):
            await node.session.connect()

    scenario(body)


def test_a_superlink_that_lost_its_database_gets_the_node_again() -> None:
    async def body() -> None:
        node = Joining()
        await node.session.connect()
        node.fleet.node_id = NodeId(78)
        node.fleet.failures["pull_messages"] = [UnauthenticatedError("Invalid node ID")]
        node.fleet.tells_ended = False

        await node.session.attempt(node.fleet.pull_messages, [])

        assert node.identity.node_id == NodeId(78)
        assert node.adopted == [NODE, NodeId(78)]

    scenario(body)


def test_calls_refused_side_by_side_renew_the_registration_once() -> None:
    async def body() -> None:
        node = Joining()
        await node.session.connect()
        node.fleet.failures["pull_messages"] = [UnauthenticatedError("Invalid node ID")]
        node.fleet.failures["get_run"] = [UnauthenticatedError("Invalid node ID")]
        node.fleet.failures["heartbeat"] = [UnauthenticatedError("Invalid node ID")]
        await asyncio.gather(
            node.session.attempt(node.fleet.pull_messages, []),
            node.session.attempt(node.fleet.heartbeat, NODE_HEARTBEAT),
        )
        assert node.fleet.calls["activate"] == 2

    scenario(body)


@pytest.mark.row("S36", "F26")
def test_a_node_that_was_unregistered_ends_with_the_cause() -> None:
    async def body() -> None:
        node = Joining(keyed=True)
        await node.session.connect()
        node.fleet.failures["heartbeat"] = [UnauthenticatedError("Invalid node ID")]
        node.fleet.failures["activate"] = [FailedPreconditionError("the node was unregistered")]
        with pytest.raises(NodeRejectedError, match="Invalid node ID"):
            await node.session.attempt(node.fleet.heartbeat, NODE_HEARTBEAT)

    scenario(body)


def test_a_node_that_is_refused_after_every_return_gives_up() -> None:
    async def body() -> None:
        node = Joining()
        await node.session.connect()
        node.fleet.failures["heartbeat"] = [UnauthenticatedError("Invalid node ID")] * 9
        with pytest.raises(NodeRejectedError):
            await node.session.attempt(node.fleet.heartbeat, NODE_HEARTBEAT)
        assert node.fleet.calls["activate"] == 4

    scenario(body)


@pytest.mark.parametrize(
    ("keyed", "ephemeral", "calls"),
    [(False, True, 1), (False, False, 0), (True, False, 0)],
)
def test_only_a_node_of_one_process_unregisters_when_it_leaves(
    keyed: bool, ephemeral: bool, calls: int
) -> None:
    async def body() -> None:
        node = Joining(keyed=keyed, ephemeral=ephemeral)
        await node.session.leave()  # never connected: nothing to sign off from
        assert node.fleet.calls["deactivate"] == 0
        await node.session.connect()
        await node.session.leave()
        assert node.fleet.calls["deactivate"] == 1
        assert node.fleet.calls["unregister"] == calls

    scenario(body)


def test_leaving_an_unreachable_superlink_takes_one_try() -> None:
    async def body() -> None:
        node = Joining()
        await node.session.connect()
        node.fleet.failures["deactivate"] = [UnavailableError("gone")]
        await node.session.leave()
        assert node.fleet.calls["deactivate"] == 1
        assert node.fleet.calls["unregister"] == 0

    scenario(body)


def test_whoever_follows_is_told_when_the_superlink_is_lost_found_and_joined_again() -> None:
    async def body() -> None:
        node, said = Joining(), list[bool]()
        node.session.follow(said.append)
        assert said == [False]
        await node.session.connect()
        node.session.follow(said.append)
        assert said == [False, True]

        node.fleet.failures["heartbeat"] = [unreachable()]
        await node.session.attempt(node.fleet.heartbeat, NODE_HEARTBEAT)
        assert said[2:] == [False, True]

        node.fleet.failures["heartbeat"] = [UnauthenticatedError("Invalid node ID")]
        await node.session.attempt(node.fleet.heartbeat, NODE_HEARTBEAT)
        assert said[4:] == [False, True]

    scenario(body)
