"""The runner of a ClientApp inside its executor: what a message costs, and who answers for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.core.clock import SystemClock
from flwr.core.errors import FlwrError, InvalidError
from flwr.core.lease import AppKind
from flwr.core.message import ErrorCode
from flwr.proto import appio_pb2, heartbeat_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.runner.config import RunnerConfig
from flwr.runner.in_executor import InExecutorRunners, Permit
from flwr.runner.relay import Relay
from flwr.runner.template_frames import MOST_TAKEN_ALONG
from flwr.runner.templates import Templates
from flwr.wire.clients.work import Work
from flwr.wire.codec.contexts import encode_context
from flwr.wire.codec.runs import encode_run
from flwr.wire.retry import Retry
from tests.unit.runner.appio_server import TOKEN, SuperNode
from tests.unit.runner.forking import bundle_of, templates_with

pytestmark = pytest.mark.slow

ECHO = """
@client.train()
def train(message, context):
    if "word" in message.content["config"]:
        print(message.content["config"]["word"])
    return Message(RecordDict({"arrays": message.content["arrays"]}), reply_to=message)
"""
DIES = """
import os
@client.train()
def train(message, context):
    os._exit(3)
"""
MOST_TURNS = 20  # of the loop, where 38 were taken when each stream had a transport and a task


class Site:
    """One executor and its daemon, in this process; counts what a message costs it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, code: str) -> None:
        monkeypatch.setenv("FLWR_HOME", str(folder / "home"))
        monkeypatch.setattr(Relay, "call", self._call)
        self.bundle = bundle_of(folder, code)
        self.refuses: list[FlwrError] = []
        self.finished: list[launches_pb2.FinishRequest] = []
        self.calls: list[str] = []
        self.node: SuperNode

    async def _call(self, method: str, request: bytes, **_: Any) -> bytes:
        name = method.rpartition("/")[2]
        if name == "SendAppHeartbeat":
            return heartbeat_pb2.SendAppHeartbeatResponse(success=True).SerializeToString()
        self.calls.append(name)
        if self.refuses:
            raise self.refuses.pop()
        self.finished.append(launches_pb2.FinishRequest.FromString(request))
        return b""

    def work(self, **config: str) -> Work:
        arrays, given = ArrayRecord([np.zeros(4, np.float32)]), ConfigRecord({**config})
        content = RecordDict({"arrays": arrays, "config": given})
        node = self.node = SuperNode(self.bundle.content, content)
        inputs = appio_pb2.PullAppInputsResponse(
            context=encode_context(node.context), run=encode_run(node.run)
        )
        return Work(
            run_id=node.run.run_id,
            bundle=self.bundle,
            inputs=inputs.SerializeToString(),
            message=node.pulled(whole=True).SerializeToString(),
            was_taken_whole=True,
        )

    def reply(self) -> Any:
        """Return what the daemon was given last."""
        [delivery], _ = self.node.accept(self.finished[-1].reply)
        return self.node.read(delivery)

    def run(self, scenario: Callable[[InExecutorRunners], Coroutine[Any, Any, None]]) -> None:
        async def begin() -> None:
            async with templates_with() as templates:
                await scenario(runners(templates))

        asyncio.run(begin())


def runners(templates: Templates) -> InExecutorRunners:
    clock = SystemClock()
    config = RunnerConfig(
        kind=AppKind.CLIENTAPP, address="nowhere", token="", root_certificates=None
    )
    return InExecutorRunners(
        config,
        None,  # type: ignore[arg-type]  # calls are answered before a channel is needed
        retry=Retry(deadline=timedelta(seconds=1), clock=clock),
        clock=clock,
        templates=templates,
        permits=_permits,
    )


@asynccontextmanager
async def _permits() -> AsyncIterator[Permit]:
    yield Permit()


async def answer(here: InExecutorRunners, work: Work) -> int:
    async with asyncio.timeout(60):
        return await here.start(TOKEN, work, lambda _: None).wait()


def test_a_message_takes_few_turns_and_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(monkeypatch, tmp_path, ECHO)
    turns = 0

    async def scenario(here: InExecutorRunners) -> None:
        nonlocal turns
        assert await answer(here, site.work()) == 0  # has its template made
        loop: Any = asyncio.get_running_loop()
        once = loop._run_once

        def count() -> None:
            nonlocal turns
            turns += 1
            once()

        loop._run_once = count
        for _ in range(5):
            assert await answer(here, site.work()) == 0
        del loop._run_once

    site.run(scenario)

    assert site.calls == ["Finish"] * 6
    assert site.reply().has_content()
    assert turns <= 5 * MOST_TURNS


@pytest.mark.parametrize("size", [1, MOST_TAKEN_ALONG])
def test_what_an_app_prints_goes_with_its_reply_however_its_work_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    site = Site(monkeypatch, tmp_path, ECHO)

    async def scenario(here: InExecutorRunners) -> None:
        assert await answer(here, site.work(word="x" * size)) == 0

    site.run(scenario)

    assert site.reply().has_content()
    assert "".join(site.finished[-1].logs) == "x" * size + "\n"


def test_what_the_daemon_does_not_take_is_answered_with_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(monkeypatch, tmp_path, ECHO)
    site.refuses = [InvalidError("no such reply")]

    async def scenario(here: InExecutorRunners) -> None:
        assert await answer(here, site.work()) == 0

    site.run(scenario)

    error = site.reply().error
    assert error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "no such reply" in error.reason


def test_an_app_that_dies_with_the_work_it_was_forked_with_is_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(monkeypatch, tmp_path, DIES)

    async def scenario(here: InExecutorRunners) -> None:
        assert await answer(here, site.work()) == 0
        assert await answer(here, site.work()) == 0

    site.run(scenario)

    assert site.calls.count("Finish") == 2
    assert "exited with code 3" in site.reply().error.reason


def test_work_that_cannot_be_read_costs_its_own_message_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(monkeypatch, tmp_path, ECHO)

    async def scenario(here: InExecutorRunners) -> None:
        good = site.work()
        bad = Work(
            run_id=good.run_id,
            bundle=good.bundle,
            inputs=b"\xff",
            message=good.message,
            was_taken_whole=True,
        )
        assert await answer(here, good) == 0
        await answer(here, bad)
        assert await answer(here, good) == 0

    site.run(scenario)

    assert site.reply().has_content()
