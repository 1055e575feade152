"""Launches on a tube: the same operations as by gRPC, one proof for all of them, and its loss."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from flwr.auth.app_tokens import hash_token
from flwr.auth.superexec_auth import SuperExecSecret, SuperExecVerifier
from flwr.core.app_choice import EVERY_APP, AppChoice, read_choice
from flwr.core.clock import SystemClock
from flwr.core.errors import FailedPreconditionError, UnauthenticatedError
from flwr.core.lease import AppKind
from flwr.core.message import Delivery
from flwr.proto import appio_pb2, message_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.runner.relay import Relay
from flwr.shell.in_thread import AtOnce
from flwr.store.store import Store
from flwr.supernode import handover
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.port import make_clientappio
from flwr.wire.appio_methods import FINISH_LAUNCH
from flwr.wire.clients.launches import LaunchesClient, TakenLaunch
from flwr.wire.clients.runner import RunnerClient
from flwr.wire.clients.tube import Tubes
from flwr.wire.codec.deliveries import write_deliveries
from flwr.wire.interceptors import access_log
from flwr.wire.interceptors.access_log import log_call
from flwr.wire.retry import Retry
from flwr.wire.tube_server import TubeServer
from tests.fakes.statements import counted
from tests.unit.supernode import given
from tests.unit.supernode.given import RUN, Sent, Site, scenario

SECRET = SuperExecSecret.derive(b"secret")


@dataclass
class Machine:
    """A SuperNode's port, and an executor beside it."""

    site: Site
    tubes: Tubes
    channel: grpc.aio.Channel
    executor: LaunchesClient

    def relay(self, token: str) -> Relay:
        return Relay(self.channel, token, retry=Retry(deadline=timedelta(0)), tubes=self.tubes)

    def arrive(self, text: str = "") -> Sent:
        """Store an instruction as the inbox does, for those who wait."""
        sent = given.instruction(self.site.clock, RUN, text=text)
        delivery = Delivery(sent.delivery.envelope, sent.delivery.tree, sent.contents)
        waiters = self.site.handover.lend()
        launches = self.site.intake.store_at_hand([delivery], waiters)
        self.site.handover.settle(waiters, launches)
        return sent

    async def until(self, holds: Callable[[], bool]) -> None:
        for _ in range(6000):
            if holds():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it never held")

    async def taking(self) -> "asyncio.Task[TakenLaunch | None]":
        """Return a call that waits."""
        take = asyncio.create_task(self.executor.take())
        await self.until(lambda: bool(self.site.handover._free))
        return take

    def outcome(self, asked: Sent, *logs: str) -> bytes:
        reply = given.reply(asked.delivery.envelope, self.site.clock)
        push = appio_pb2.PushAppMessagesRequest(run_id=RUN)
        write_deliveries(
            push, [Delivery(reply.delivery.envelope, reply.delivery.tree, reply.contents)]
        )
        outputs = appio_pb2.PushAppOutputsRequest(context=message_pb2.Context(run_id=RUN))
        return launches_pb2.FinishRequest(
            reply=push.SerializeToString(), outputs=outputs.SerializeToString(), logs=logs
        ).SerializeToString()


@asynccontextmanager
async def machine(
    tmp_path: Path,
    *,
    secret: SuperExecSecret = SECRET,
    only_apps: AppChoice = EVERY_APP,
    has_tubes: bool = True,
) -> AsyncIterator[Machine]:
    site = Site(max_apps=2)
    site.connect()
    site.admit(RUN)
    site.intake._cleared.add(RUN)
    served = TubeServer() if has_tubes else None
    server = make_clientappio(
        "127.0.0.1:0",
        leases=site.leases,
        apps=site.apps,
        launches=site.launches,
        handover=site.handover,
        logs=AppLogs(tmp_path),
        wakeups=site.wakeups,
        clock=SystemClock(),
        at_once=AtOnce(site.store),
        superexec=SuperExecVerifier(SECRET),
        tubes=served,
    )
    await server.start()
    serving = [asyncio.create_task(served.serve())] if served else []
    tubes = Tubes()
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            executor = LaunchesClient(
                channel,
                AppKind.CLIENTAPP,
                clock=SystemClock(),
                secret=secret,
                only_apps=only_apps,
                tubes=tubes,
            )
            yield Machine(site, tubes, channel, executor)
    finally:
        tubes.close()
        site.wakeups.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.stop()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """Every call that a server or a tube has answered: its method, and whose it was."""
    seen: list[tuple[str, object]] = []

    def note(method: str, duration_s: float, facts: dict[str, object]) -> None:
        seen.append((method.rpartition("/")[2], facts["peer"] == "tube"))
        log_call(method, duration_s, facts)

    monkeypatch.setattr(access_log, "log_call", note)
    monkeypatch.setattr("flwr.wire.tube_server.log_call", note)
    return seen


@pytest.mark.row("S20")
def test_a_small_message_needs_no_task_and_no_thread_at_either_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "is_quick", True)
    made: list[str] = []

    def make(loop: asyncio.AbstractEventLoop, work: Any, **kwargs: Any) -> "asyncio.Task[Any]":
        made.append(work.__qualname__)
        return asyncio.Task(work, loop=loop, **kwargs)

    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            loop = asyncio.get_running_loop()
            loop.set_task_factory(make)
            monkeypatch.setattr(loop, "run_in_executor", lambda *_: made.append("thread"))
            sent, taken = here.arrive(), await take
            assert taken is not None
            relay, outcome = here.relay(taken.token), here.outcome(sent)
            await relay.call(FINISH_LAUNCH, outcome)
            monkeypatch.undo()
            loop.set_task_factory(None)
        assert made == []

    scenario(body)


@pytest.mark.row("S20")
def test_a_small_message_passes_the_tube_in_two_frames_and_one_commit(
    tmp_path: Path, calls: list[tuple[str, object]]
) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            for text in "ab":
                take = await here.taking()
                with counted(here.site.store) as asked:
                    sent = here.arrive(text)
                    taken = await take
                    assert taken is not None
                    assert taken.work.instruction().contents == sent.contents
                    await here.relay(taken.token).call(FINISH_LAUNCH, here.outcome(sent))
                assert asked.commits == 1
                assert here.site.reply_to(sent.message_id) is not None
                assert here.site.leases.find(hash_token(taken.token)) is None
        assert calls == [
            ("OpenTube", False),
            ("Take", True),
            ("Finish", True),
            ("Take", True),
            ("Finish", True),
        ]

    scenario(body)


def test_what_waits_already_is_handed_out_at_once_and_its_bundle_sent_once(tmp_path: Path) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            first, second = here.site.take_in(text="1"), here.site.take_in(text="2")
            for sent in (first, second):
                taken = await here.executor.take()
                assert taken is not None
                assert taken.work.bundle is not None
                assert taken.work.bundle.content == given.fab().content
                assert taken.work.instruction().envelope == sent.delivery.envelope
                await here.relay(taken.token).call(FINISH_LAUNCH, here.outcome(sent))

    scenario(body)


def test_what_an_app_printed_comes_along_and_heartbeats_renew(tmp_path: Path) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            sent, taken = here.arrive(), await take
            assert taken is not None
            relay = here.relay(taken.token)
            before = here.site.leases.require(taken.token)
            runner = RunnerClient(relay, kind=AppKind.CLIENTAPP)
            assert await runner.heartbeat(next_in=timedelta(seconds=3))
            after = here.site.leases.require(taken.token)
            assert after.until != before.until
            await relay.call(FINISH_LAUNCH, here.outcome(sent, "printed\n"))

    scenario(body)
    assert "printed" in "".join(p.read_text() for p in tmp_path.rglob("*") if p.is_file())


@pytest.mark.row("F22")
def test_a_token_that_is_over_is_refused_as_it_is_by_a_call(tmp_path: Path) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            sent, taken = here.arrive(), await take
            assert taken is not None
            relay = here.relay(taken.token)
            await relay.call(FINISH_LAUNCH, here.outcome(sent))
            with pytest.raises(UnauthenticatedError):
                await relay.call(FINISH_LAUNCH, here.outcome(sent))
            assert relay.refused.done()
            for token in ("", "x" * 100_000):
                with pytest.raises(UnauthenticatedError):
                    await here.relay(token).call(FINISH_LAUNCH, here.outcome(sent))
            assert here.tubes.current is not None

    scenario(body)


@pytest.mark.row("F22")
def test_no_tube_without_the_secret(tmp_path: Path, calls: list[tuple[str, object]]) -> None:
    async def body() -> None:
        async with machine(tmp_path, secret=SuperExecSecret.derive(b"another")) as here:
            with pytest.raises(UnauthenticatedError):
                await here.executor.take()
            assert here.tubes.current is None
        assert calls == [("OpenTube", False), ("Take", False)]

    scenario(body)


@pytest.mark.row("S27")
def test_a_tube_launches_only_the_apps_it_was_opened_for(tmp_path: Path) -> None:
    async def body() -> None:
        async with machine(tmp_path, only_apps=read_choice("acme/other-app")) as here:
            take = await here.taking()
            here.arrive()
            await asyncio.sleep(0.05)
            assert not take.done()
            assert here.site.leases.runs_to_launch() == [RUN]
            take.cancel()

    scenario(body)


@pytest.mark.row("F7")
@pytest.mark.parametrize("end", ["cancelled", "killed"])
def test_what_its_executor_does_not_hear_of_waits_for_another_one(tmp_path: Path, end: str) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            sent = given.instruction(here.site.clock, RUN)
            delivery = Delivery(sent.delivery.envelope, sent.delivery.tree, sent.contents)
            waiters = here.site.handover.lend()
            launches = here.site.intake.store_at_hand([delivery], waiters)
            if end == "killed":
                here.tubes.close()
            take.cancel()
            await here.until(lambda: all(waiter.is_over for waiter in waiters))
            here.site.handover.settle(waiters, launches)
            await here.until(lambda: here.site.leases.runs_to_launch() == [RUN])

    scenario(body)


@pytest.mark.row("F7")
def test_a_launch_that_was_sent_as_its_executor_left_is_given_back(tmp_path: Path) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            here.arrive()
            take.cancel()  # the launch is in the socket
            await asyncio.gather(take, return_exceptions=True)
            await here.until(lambda: here.site.leases.runs_to_launch() == [RUN])

    scenario(body)


@pytest.mark.row("F7")
def test_a_launch_goes_on_by_grpc_when_its_tube_is_lost(
    tmp_path: Path, calls: list[tuple[str, object]]
) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            sent, taken = here.arrive(), await take
            assert taken is not None
            assert here.tubes.current is not None
            here.tubes.current.abort()
            relay = here.relay(taken.token)
            assert await RunnerClient(relay, kind=AppKind.CLIENTAPP).heartbeat(
                next_in=timedelta(seconds=3)
            )
            await relay.call(FINISH_LAUNCH, here.outcome(sent))
            assert here.site.reply_to(sent.message_id) is not None
            again = await here.taking()
            assert here.tubes.current is not None
            here.arrive("again")
            assert await again is not None
        assert calls == [
            ("OpenTube", False),
            ("Take", True),
            ("SendAppHeartbeat", False),
            ("Finish", False),
            ("OpenTube", False),
            ("Take", True),
        ]

    scenario(body)


def test_a_take_whose_tube_is_lost_is_made_by_grpc(
    tmp_path: Path, calls: list[tuple[str, object]]
) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            take = await here.taking()
            assert here.tubes.current is not None
            here.tubes.current.abort()
            await here.until(lambda: bool(here.site.handover._free) and len(calls) == 1)
            await asyncio.sleep(0.05)
            here.arrive()
            assert await take is not None
        assert calls[-1] == ("Take", False)

    scenario(body)


def test_a_node_without_tubes_is_called(tmp_path: Path, calls: list[tuple[str, object]]) -> None:
    async def body() -> None:
        async with machine(tmp_path, has_tubes=False) as here:
            for text in "ab":
                sent = here.site.take_in(text=text)
                taken = await here.executor.take()
                assert taken is not None
                await here.relay(taken.token).call(FINISH_LAUNCH, here.outcome(sent))
        assert [one for one in calls if one[0] != "Finish"] == [
            ("OpenTube", False),
            ("Take", False),
            ("Take", False),
        ]

    scenario(body)


def test_a_call_is_held_no_longer_than_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:
            with monkeypatch.context() as patch:
                patch.setattr(handover, "LONG_POLL", timedelta(seconds=0.05))
                assert await here.executor.take() is None
            assert here.tubes.current is not None
            taking = await here.taking()
            here.site.wakeups.close()  # the SuperNode stops
            assert await taking is None

    scenario(body)


def test_a_store_that_fails_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with machine(tmp_path) as here:

            def fail(*_: object) -> None:
                raise FailedPreconditionError("the disk is full")

            here.site.launches.take = fail  # type: ignore[method-assign, assignment]
            here.site.take_in()
            with pytest.raises(FailedPreconditionError, match="the disk is full"):
                await here.executor.take()
            assert here.tubes.current is not None

    scenario(body)
