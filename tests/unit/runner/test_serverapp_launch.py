import asyncio
import re
from pathlib import Path

import pytest

from flwr.app import Message, MetricRecord, RecordDict
from flwr.core.errors import FailedPreconditionError, UnauthenticatedError
from flwr.core.run import RunStatus
from tests.unit.runner.appio_server import TOKEN, SuperLink, build_app
from tests.unit.runner.launching import launch

pytestmark = pytest.mark.slow

ROUND = """
import numpy as np

@server.main()
def main(grid: Grid, context: Context) -> None:
    arrays = ArrayRecord([np.arange(6, dtype=np.float32)])
    content = RecordDict({"arrays": arrays})
    messages = [Message(content, node_id, "train") for node_id in [*grid.get_node_ids(), 999]]
    replies = grid.send_and_receive(messages)
    print("total", sum(reply.content["metrics"]["sum"] for reply in replies))
    print("rounds", context.run_config["rounds"], "run", grid.run.run_id)
    context.state["seen"] = MetricRecord({"replies": len(replies)})
"""


def sum_of_arrays(message: Message) -> Message:
    [arrays] = message.content.array_records.values()
    total = float(arrays.to_numpy_ndarrays()[0].sum())
    return Message(RecordDict({"metrics": MetricRecord({"sum": total})}), reply_to=message)


@pytest.mark.row("S7", "S20")
def test_a_serverapp_exchanges_messages_and_completes_its_run(tmp_path: Path) -> None:
    superlink = SuperLink(build_app(tmp_path / "app", ROUND))
    superlink.node = sum_of_arrays

    end = launch(superlink, tmp_path / "home")

    assert (end.exit_code, superlink.outcome()) == (0, (RunStatus.COMPLETED, "")), end.stderr
    assert "total 30.0\n" in superlink.logs
    assert f"rounds 2 run {superlink.run.run_id}\n" in superlink.logs
    assert "1 of 3 messages were refused" in superlink.logs
    assert superlink.outputs is not None
    assert superlink.outputs.state["seen"]["replies"] == 2
    order = [name for name in superlink.methods if name not in {"SendAppHeartbeat", "PushLogs"}]
    assert order[0] == "PullAppInputs"
    assert order[-2:] == ["PushAppOutputs", "UpdateRunStatus"]
    assert superlink.methods[-1] == "UpdateRunStatus"  # the log is complete before the end
    assert superlink.tokens == {TOKEN}
    assert superlink.heartbeat_promises == {"3"}
    assert len(superlink.uploads) == len(set(superlink.uploads))  # shared content is sent once


LEAVES_OPEN = """
import atexit, os, threading, time
log = open(os.environ["FLWR_HOME"] + "/rounds.csv", "w")
atexit.register(print, "at exit")
def late():
    time.sleep(0.2)
    log.write("from a thread\\n")

@server.main()
def main(grid, context):
    log.write("round 1\\n")
    threading.Thread(target=late).start()
"""


def test_what_an_app_never_closed_is_kept_all_the_same(tmp_path: Path) -> None:
    superlink = SuperLink(build_app(tmp_path / "app", LEAVES_OPEN))

    end = launch(superlink, tmp_path)

    assert (end.exit_code, superlink.outcome()) == (0, (RunStatus.COMPLETED, "")), end.stderr
    assert (tmp_path / "rounds.csv").read_text() == "round 1\nfrom a thread\n"
    assert "at exit\n" in superlink.logs


@pytest.mark.row("F1")
@pytest.mark.parametrize(
    ("body", "details", "in_log"),
    [
        ("raise ValueError('boom')", "ValueError: boom", 'raise ValueError("boom")|boom'),
        ("raise RuntimeError('boom')", "RuntimeError: boom", "Traceback"),
        ("import sys; sys.exit(3)", "SystemExit: 3", "SystemExit"),
        ("import os; os._exit(0)", "ServerApp exited with code 0", "exited with code 0"),
        ("import os; os.kill(os.getpid(), 9)", "ServerApp was killed by SIGKILL", "SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", "ServerApp was killed by SIGSEGV", "SIGSEGV"),
    ],
)
def test_every_way_to_fail_ends_the_run_at_once_with_its_cause(
    tmp_path: Path, body: str, details: str, in_log: str
) -> None:
    code = f"@server.main()\ndef main(grid, context):\n    print('begun')\n    {body}\n"
    superlink = SuperLink(build_app(tmp_path / "app", code))

    end = launch(superlink, tmp_path / "home")

    assert (end.exit_code, superlink.outcome()) == (0, (RunStatus.FAILED, details)), end.stderr
    assert "begun\n" in superlink.logs
    assert re.search(in_log, superlink.logs)
    assert superlink.outputs is None


def test_an_app_that_cannot_be_imported_fails_its_run(tmp_path: Path) -> None:
    superlink = SuperLink(build_app(tmp_path / "app", "import nowhere_to_be_found"))

    launch(superlink, tmp_path / "home")

    status, details = superlink.outcome()
    assert status is RunStatus.FAILED
    assert "No module named 'nowhere_to_be_found'" in details


def test_an_app_that_never_begins_says_why(tmp_path: Path) -> None:
    superlink = SuperLink(build_app(tmp_path / "app", ROUND))
    superlink.failures["PullAppInputs"] = FailedPreconditionError("The FAB of run 1 is gone")

    end = launch(superlink, tmp_path / "home")

    assert end.exit_code == 70
    assert superlink.exit is not None
    assert superlink.exit.exit_code == 70
    assert superlink.exit.cause.startswith("ended before it began its work: ")
    assert "The FAB of run 1 is gone" in superlink.exit.cause


def test_the_app_sees_no_token_and_no_setting_of_the_runtime(tmp_path: Path) -> None:
    code = """
import os, sys
@server.main()
def main(grid, context):
    grid.get_node_ids()
    print("settings", sorted(name for name in os.environ if name.startswith("FLWR_")))
    print("argv", sys.argv, open("/proc/self/cmdline").read())
    print("heavy", [name for name in ("grpc", "sqlalchemy", "typer") if name in sys.modules])
"""
    superlink = SuperLink(build_app(tmp_path / "app", code))

    launch(superlink, tmp_path / "home")

    assert "settings ['FLWR_HOME']\n" in superlink.logs
    assert "heavy []\n" in superlink.logs
    assert TOKEN not in superlink.logs


LONG = """
import time
@server.main()
def main(grid, context):
    print("begun", flush=True)
    try:
        time.sleep(60)
    except Exception:
        pass
"""


@pytest.mark.row("S63")
def test_a_stopped_run_takes_its_app_along_quietly(tmp_path: Path) -> None:
    superlink = SuperLink(build_app(tmp_path / "app", LONG))

    async def stop(_process: asyncio.subprocess.Process) -> None:
        await superlink.until("PushLogs")
        superlink.failures["SendAppHeartbeat"] = UnauthenticatedError("Authentication failed.")

    end = launch(superlink, tmp_path / "home", stop, within_s=15)

    assert end.exit_code == 0
    assert superlink.status is None
    assert superlink.outputs is None


def test_a_runner_that_is_told_to_stop_fails_the_run_with_that_cause(tmp_path: Path) -> None:
    superlink = SuperLink(build_app(tmp_path / "app", LONG))

    async def stop(process: asyncio.subprocess.Process) -> None:
        await superlink.until("PushLogs")
        process.terminate()

    end = launch(superlink, tmp_path / "home", stop)

    assert end.exit_code == 0
    assert superlink.outcome() == (
        RunStatus.FAILED,
        "ServerApp was stopped: its runner was told to end",
    )


def test_an_app_dies_with_its_runner(tmp_path: Path) -> None:
    code = LONG.replace('"begun"', '"pid", __import__("os").getpid()')
    superlink = SuperLink(build_app(tmp_path / "app", code))

    async def kill(process: asyncio.subprocess.Process) -> None:
        await superlink.until("PushLogs")
        process.kill()
        pid = int(superlink.logs.split()[1])
        async with asyncio.timeout(60):
            while _is_running(pid):  # noqa: ASYNC110  # nobody but the kernel could tell us
                await asyncio.sleep(0.05)

    launch(superlink, tmp_path / "home", kill)


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
