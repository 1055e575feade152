import asyncio
from pathlib import Path

import pytest

from flwr.app import ConfigRecord, RecordDict
from flwr.core.errors import UnauthenticatedError, UnimplementedError
from flwr.core.message import ErrorCode
from tests.unit.runner.appio_server import SuperNode, build_app
from tests.unit.runner.launching import launch

pytestmark = pytest.mark.slow

COUNTER = """
@client.train()
def train(message: Message, context: Context) -> Message:
    seen = context.state["seen"]["count"] + 1 if "seen" in context.state else 1
    context.state["seen"] = MetricRecord({"count": seen})
    print("answering", message.content["config"]["word"])
    return Message(RecordDict({"metrics": MetricRecord({"count": seen})}), reply_to=message)
"""


def question() -> RecordDict:
    return RecordDict({"config": ConfigRecord({"word": "hello"})})


def failing(body: str) -> str:
    return f"""
@client.train()
def train(message: Message, context: Context) -> Message:
    context.state["spoiled"] = MetricRecord({{"count": 1}})
    print("begun", flush=True)
    {body}
"""


@pytest.mark.row("S8", "S21")
def test_a_clientapp_answers_its_message_and_keeps_its_state(tmp_path: Path) -> None:
    node = SuperNode(build_app(tmp_path / "app", COUNTER), question())

    end = launch(node, tmp_path / "home")

    assert end.exit_code == 0, end.stderr
    assert node.answer().content["metrics"]["count"] == 1
    assert node.outputs is not None
    assert node.outputs.state["seen"]["count"] == 1
    order = [name for name in node.methods if name not in {"SendAppHeartbeat", "PushAppLogs"}]
    assert order[:2] == ["PullAppInputs", "PullMessage"]
    assert order[-1] == "PushAppOutputs"
    assert "answering hello" in node.logs
    assert "answering hello" in end.stderr


def test_a_supernode_without_our_extension_gets_no_logs_and_works(tmp_path: Path) -> None:
    node = SuperNode(build_app(tmp_path / "app", COUNTER), question())
    node.failures["PushAppLogs"] = UnimplementedError("unknown service")

    end = launch(node, tmp_path / "home")

    assert end.exit_code == 0
    assert node.answer().has_content()


@pytest.mark.row("F5")
@pytest.mark.parametrize(
    ("code", "error_code", "reason"),
    [
        (
            failing("raise ZeroDivisionError('boom')"),
            ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
            "<class 'ZeroDivisionError'>:<'boom'>",
        ),
        (
            failing("import sys; sys.exit(4)"),
            ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
            "<class 'SystemExit'>:<'4'>",
        ),
        (
            failing("return 'not a message'"),
            ErrorCode.CLIENT_APP_RAISED_EXCEPTION,
            "it must return a Message",
        ),
        (
            "import nowhere_to_be_found",
            ErrorCode.LOAD_CLIENT_APP_EXCEPTION,
            "No module named 'nowhere_to_be_found'",
        ),
        (
            failing("import os; os.kill(os.getpid(), 9)"),
            ErrorCode.CLIENT_APP_CRASHED,
            "ClientApp was killed by SIGKILL",
        ),
        (
            failing("import ctypes; ctypes.string_at(0)"),
            ErrorCode.CLIENT_APP_CRASHED,
            "ClientApp was killed by SIGSEGV",
        ),
        (
            failing("import os; os._exit(0)"),
            ErrorCode.CLIENT_APP_CRASHED,
            "ClientApp exited with code 0",
        ),
    ],
)
def test_every_way_to_fail_is_answered_and_leaves_the_state_alone(
    tmp_path: Path, code: str, error_code: ErrorCode, reason: str
) -> None:
    node = SuperNode(build_app(tmp_path / "app", code), question())

    end = launch(node, tmp_path / "home")

    assert end.exit_code == 0, end.stderr
    error = node.answer().error
    assert error.code == error_code
    assert reason in (error.reason or "")
    assert node.outputs is not None
    assert "spoiled" not in node.outputs.state
    assert node.methods[-1] == "PushAppOutputs"


LONG = failing("import time; time.sleep(60)")


@pytest.mark.row("S63")
def test_a_run_that_ended_takes_its_clientapps_along(tmp_path: Path) -> None:
    node = SuperNode(build_app(tmp_path / "app", LONG), question())

    async def end_run(_process: asyncio.subprocess.Process) -> None:
        await node.until("PushAppLogs")
        node.failures["SendAppHeartbeat"] = UnauthenticatedError("Authentication failed.")

    end = launch(node, tmp_path / "home", end_run, within_s=15)

    assert end.exit_code == 0
    assert node.reply is None


def test_a_runner_told_to_stop_leaves_its_instruction_unanswered(tmp_path: Path) -> None:
    node = SuperNode(build_app(tmp_path / "app", LONG), question())

    async def stop(process: asyncio.subprocess.Process) -> None:
        await node.until("PushAppLogs")
        process.terminate()

    end = launch(node, tmp_path / "home", stop)

    assert end.exit_code == 143
    assert node.reply is None
    assert node.outputs is None
