"""What a small message costs an executor and its app's process, in calls."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from flwr.app import ConfigRecord, RecordDict
from flwr.core.message import ErrorCode
from flwr.proto import appio_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire.codec.contexts import decode_context
from tests.unit.runner.appio_server import TOKEN, Methods, build_app
from tests.unit.superexec.test_main import LaunchingSuperNode, superexec

pytestmark = pytest.mark.slow

TELLS = """
import gc, threading
from flwr.wire.pipe import PipeCaller
calls = []
original = PipeCaller.call
def counted(self, method, request, **options):
    calls.append(method.rpartition("/")[2])
    return original(self, method, request, **options)
PipeCaller.call = counted
@client.train()
def train(message, context):
    print("answering", flush=True)
    facts = ConfigRecord({"threads": threading.active_count(), "calls": calls})
    return Message(RecordDict({"facts": facts}), reply_to=message)
"""
DIES = """
import os
@client.train()
def train(message, context):
    print("begun", flush=True)
    os._exit(3)
"""


class WholeSuperNode(LaunchingSuperNode):
    """Hands out its one instruction again and again, whole."""

    def __init__(self, fab: bytes, times: int) -> None:
        super().__init__(fab, RecordDict({"config": ConfigRecord({"word": "hello"})}))
        self.left = times
        self.known: list[list[str]] = []
        self.finished = asyncio.Semaphore(0)

    def _services(self) -> dict[str, Methods]:
        whole: Methods = {"Take": self._take, "Finish": self._finish}
        return {**super()._services(), "flwr.compose.v1.WholeLaunches": whole}

    async def _take(self, request: bytes) -> launches_pb2.TakeResponse:
        bundles = list(launches_pb2.TakeRequest.FromString(request).bundles)
        if not self.left:
            await asyncio.Event().wait()
        self.left -= 1
        self.known.append(bundles)
        inputs = await self._pull_inputs(
            appio_pb2.PullAppInputsRequest(token=TOKEN).SerializeToString()
        )
        if inputs.run.fab_hash in bundles:
            inputs.fab.ClearField("content")
        taken = launches_pb2.TakeResponse(token=TOKEN, run_id=self.run.run_id, fab=inputs.fab)
        inputs.ClearField("fab")
        taken.inputs = inputs.SerializeToString()
        taken.message = self.pulled(whole=True).SerializeToString()
        return taken

    async def _finish(self, request: bytes) -> launches_pb2.FinishResponse:
        finish = launches_pb2.FinishRequest.FromString(request)
        [self.reply], lacking = self.accept(finish.reply)
        assert lacking == []
        outputs = appio_pb2.PushAppOutputsRequest.FromString(finish.outputs)
        self.outputs = decode_context(outputs.context)
        self.logs += "".join(finish.logs)
        self.finished.release()
        return launches_pb2.FinishResponse()


def served(node: WholeSuperNode, home: Path, *flags: str) -> list[str]:
    """Return the calls that all messages took, but for heartbeats."""

    async def scenario() -> Any:
        times = node.left
        async with superexec(node, home, *flags) as process:
            for _ in range(times):
                await node.finished.acquire()
            process.terminate()
            assert await process.wait() == 0

    asyncio.run(scenario())
    return [name for name in node.methods if name != "SendAppHeartbeat"]


@pytest.mark.row("S21")
def test_a_small_message_costs_two_calls_and_its_process_none_and_no_thread(
    tmp_path: Path,
) -> None:
    node = WholeSuperNode(build_app(tmp_path / "app", TELLS), times=3)

    calls = served(node, tmp_path)

    assert sorted(set(calls) - {"PushAppLogs"}) == ["Finish", "GetRun", "Take"]
    assert calls.count("Finish") == 3
    assert calls.count("Take") <= 4  # the last one is held
    assert calls.count("GetRun") == 1  # the greeting
    assert node.known[0] == []
    assert node.known[1:] == [[node.run.fab_hash]] * 2  # the bundle was sent once
    facts = node.answer().content["facts"]
    assert facts["threads"] == 1
    assert not facts.get("calls")  # its work came with it, and its last word needs no answer
    assert node.logs.count("answering") == 3


@pytest.mark.parametrize("start", ["warm", "fresh"])
def test_an_app_that_dies_is_answered_for_with_one_call(tmp_path: Path, start: str) -> None:
    node = WholeSuperNode(build_app(tmp_path / "app", DIES), times=1)

    calls = served(node, tmp_path, "--app-start", start)

    assert calls.count("Finish") == 1
    assert not {"PushMessage", "PushObject", "PushAppOutputs"} & set(calls)
    error = node.answer().error
    assert error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "exited with code 3" in (error.reason or "")
    assert node.outputs is not None
