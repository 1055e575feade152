import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flwr.app import ConfigRecord, RecordDict
from flwr.core.errors import NotFoundError, UnauthenticatedError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.core.message import ErrorCode
from flwr.core.run import RunStatus
from flwr.proto import appio_pb2, run_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire.codec.runs import encode_run
from tests.unit.runner.appio_server import (
    TOKEN,
    AppIoServer,
    Methods,
    SuperLink,
    SuperNode,
    build_app,
)

pytestmark = pytest.mark.slow

QUICK = """
@server.main()
def main(grid, context):
    print("hello")
"""
WAITING = """
import os, pathlib, time
@server.main()
def main(grid, context):
    print("runner", os.getppid(), flush=True)
    while not pathlib.Path(os.environ["GO"]).exists():
        time.sleep(0.02)
@client.train()
def train(message, context):
    print("runner", os.getppid(), flush=True)
    time.sleep(60)
"""


class _Launching(AppIoServer):
    """Adds one pending launch to a stand-in daemon."""

    def offer(self) -> None:
        self.pending = [self.run.run_id]
        self.exits: list[tuple[int, str]] = []
        self.given_back = 0

    def _services(self) -> dict[str, Methods]:
        return {
            **super()._services(),
            "flwr.compose.v1.Launches": {"ReportExit": self._report_exit},
        }

    def _methods(self) -> Methods:
        return {
            **super()._methods(),
            "ListAppsToLaunch": self._list_apps,
            "RequestToken": self._request_token,
            "GetRun": self._get_run,
        }

    async def _list_apps(self, _request: bytes) -> Any:
        return appio_pb2.ListAppsToLaunchResponse(run_ids=self.pending)

    async def _request_token(self, request: bytes) -> Any:
        self.pending.remove(RunId(appio_pb2.RequestTokenRequest.FromString(request).run_id))
        return appio_pb2.RequestTokenResponse(token=TOKEN)

    async def _get_run(self, _request: bytes) -> Any:
        return run_pb2.GetRunResponse(run=encode_run(self.run))

    async def _report_exit(self, request: bytes) -> Any:
        report = launches_pb2.ReportExitRequest.FromString(request)
        assert report.token == TOKEN
        self.exits.append((report.exit_code, report.cause))
        self.given_back += report.stopped
        return launches_pb2.ReportExitResponse()


class LaunchingSuperLink(_Launching, SuperLink):
    pass


class LaunchingSuperNode(_Launching, SuperNode):
    pass


@asynccontextmanager
async def superexec(
    server: _Launching, home: Path, *flags: str, stderr: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    server.offer()
    async with server.serving():
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "flwr.superexec.main", "--insecure"),
            *("--appio-api-address", server.address, "--plugin-type", str(server.kind), *flags),
            env={**os.environ, "FLWR_HOME": str(home), "GO": str(home / "go")},
            stderr=stderr,
        )
        try:
            async with asyncio.timeout(60):
                yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def until_it_drains(process: asyncio.subprocess.Process) -> None:
    assert process.stderr is not None
    async for line in process.stderr:
        if b"SuperExec drains" in line:
            return
    raise AssertionError("it ended before")


def parent_of(pid: int) -> int:
    return int(_stat(pid)[1])


def is_running(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in "ZX"
    except FileNotFoundError:
        return False


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def children_of(pid: int) -> str:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text()


def runner_pid(server: AppIoServer) -> int:
    found = re.search(r"runner (\d+)", server.logs)
    assert found is not None, server.logs
    return int(found[1])


async def until_gone(pid: int) -> None:
    while is_running(pid):  # noqa: ASYNC110  # nobody but the kernel could tell us
        await asyncio.sleep(0.05)


@pytest.mark.row("S4", "S7")
def test_a_pending_run_is_executed_and_nothing_is_left_behind(tmp_path: Path) -> None:
    link = LaunchingSuperLink(build_app(tmp_path / "app", QUICK))

    async def scenario() -> int | None:
        async with superexec(link, tmp_path) as process:
            await link.until("UpdateRunStatus")
            while children_of(process.pid):  # noqa: ASYNC110  # nobody could tell us
                await asyncio.sleep(0.05)
            process.terminate()
            return await process.wait()

    assert asyncio.run(scenario()) == 0
    assert link.outcome() == (RunStatus.COMPLETED, "")
    assert link.exits == []


@pytest.mark.row("F1", "S4")
def test_a_killed_runner_is_reported_at_once(tmp_path: Path) -> None:
    link = LaunchingSuperLink(build_app(tmp_path / "app", WAITING))

    async def scenario() -> None:
        async with superexec(link, tmp_path):
            await link.until("PushLogs")
            os.kill(runner_pid(link), 9)
            await link.until("ReportExit")

    asyncio.run(scenario())
    assert link.exits == [(-9, "was killed by SIGKILL")]


@pytest.mark.row("F7")
def test_serverapps_outlive_their_superlink_and_superexec(tmp_path: Path) -> None:
    link = LaunchingSuperLink(build_app(tmp_path / "app", WAITING))

    async def scenario() -> int | None:
        parent = await asyncio.create_subprocess_exec("sleep", "60")
        async with superexec(link, tmp_path, "--parent-pid", str(parent.pid)) as process:
            await link.until("PushLogs")
            parent.kill()
            await parent.wait()
            exit_code = await process.wait()
            assert is_running(runner_pid(link))
            (tmp_path / "go").touch()
            await link.until("UpdateRunStatus")
            await until_gone(runner_pid(link))
            return exit_code

    assert asyncio.run(scenario()) == 0
    assert link.outcome() == (RunStatus.COMPLETED, "")


@pytest.mark.row("F7", "S5")
@pytest.mark.parametrize("how", ["parent", "SIGTERM", "SIGKILL"])
def test_clientapps_end_with_their_superexec(tmp_path: Path, how: str) -> None:
    content = RecordDict({"config": ConfigRecord({"word": "hello"})})
    node = LaunchingSuperNode(build_app(tmp_path / "app", WAITING), content)
    assert node.kind is AppKind.CLIENTAPP

    async def scenario() -> None:
        parent = await asyncio.create_subprocess_exec("sleep", "60")
        flags = ["--parent-pid", str(parent.pid), "--drain", "0"]
        async with superexec(node, tmp_path, *flags) as process:
            await node.until("PushAppLogs")
            runner = runner_pid(node)
            apps = [int(pid) for pid in children_of(runner).split()]
            assert parent_of(runner) == process.pid
            {"parent": parent.kill, "SIGTERM": process.terminate, "SIGKILL": process.kill}[how]()
            await process.wait()
            for pid in (runner, *apps):
                await until_gone(pid)
            if parent.returncode is None:
                parent.kill()
            await parent.wait()

    asyncio.run(scenario())
    assert node.reply is None
    if how == "SIGTERM":  # its daemon may give the instruction to another SuperExec
        assert [code for code, _ in node.exits] == [143]
        assert node.given_back == 1
    else:
        assert node.exits == []


@pytest.mark.row("S63")
def test_a_politely_stopped_superexec_lets_its_app_finish(tmp_path: Path) -> None:
    link = LaunchingSuperLink(build_app(tmp_path / "app", WAITING))

    async def scenario() -> int | None:
        async with superexec(link, tmp_path, stderr=asyncio.subprocess.PIPE) as process:
            await link.until("PushLogs")
            process.terminate()
            await until_it_drains(process)
            assert process.returncode is None
            (tmp_path / "go").touch()
            return await process.wait()

    assert asyncio.run(scenario()) == 0
    assert link.outcome() == (RunStatus.COMPLETED, "")
    assert link.exits == []


@pytest.mark.row("S63")
def test_a_second_request_to_stop_ends_the_superexec_at_once(tmp_path: Path) -> None:
    content = RecordDict({"config": ConfigRecord({"word": "hello"})})
    node = LaunchingSuperNode(build_app(tmp_path / "app", WAITING), content)

    async def scenario() -> tuple[int | None, float]:
        async with superexec(node, tmp_path, stderr=asyncio.subprocess.PIPE) as process:
            await node.until("PushAppLogs")
            runner = runner_pid(node)
            apps = [int(pid) for pid in children_of(runner).split()]
            process.terminate()
            await until_it_drains(process)
            asked_at = time.monotonic()
            process.terminate()
            code = await process.wait()
            took = time.monotonic() - asked_at
            for pid in (runner, *apps):
                await until_gone(pid)
            return code, took

    code, took = asyncio.run(scenario())
    assert code == 0
    assert took < 9  # asked once, it would wait for STOP_GRACE
    assert node.reply is None
    assert [code for code, _ in node.exits] == [-9]
    assert node.given_back == 1


DIES = """
import os
@client.train()
def train(message, context):
    print("begun", flush=True)
    {deed}
"""


@pytest.mark.row("F5", "S25")
@pytest.mark.parametrize("start", ["warm", "fresh"])
@pytest.mark.parametrize(
    ("code", "error_code", "reason"),
    [
        (DIES.format(deed="return 'x'"), ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "return a Message"),
        (DIES.format(deed="os._exit(3)"), ErrorCode.CLIENT_APP_CRASHED, "exited with code 3"),
        (DIES.format(deed="os.kill(os.getpid(), 9)"), ErrorCode.CLIENT_APP_CRASHED, "by SIGKILL"),
        ("import nowhere", ErrorCode.LOAD_CLIENT_APP_EXCEPTION, "No module named 'nowhere'"),
    ],
)
def test_a_clientapps_end_has_its_cause_however_it_was_started(
    tmp_path: Path, start: str, code: str, error_code: ErrorCode, reason: str
) -> None:
    content = RecordDict({"config": ConfigRecord({"word": "hello"})})
    node = LaunchingSuperNode(build_app(tmp_path / "app", code), content)

    async def scenario() -> int | None:
        async with superexec(node, tmp_path, "--app-start", start) as process:
            await node.until("PushAppOutputs")
            process.terminate()
            return await process.wait()

    assert asyncio.run(scenario()) == 0
    error = node.answer().error
    assert error.code == error_code
    assert reason in (error.reason or "")
    assert node.outputs is not None
    assert node.exits == []
    order = [name for name in node.methods if name.startswith("Pull")]
    assert order[0] == "PullAppInputs"
    assert order.count("PullMessage") == order.count("PullAppInputs") == 1
    assert ("begun" in node.logs) is (code != "import nowhere")


TELLS = """
import os
@client.train()
def train(message, context):
    facts = MetricRecord({"parent": os.getppid()})
    return Message(RecordDict({"facts": facts}), reply_to=message)
"""
THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""


@pytest.mark.parametrize(
    ("start", "code", "is_forked"),
    [("warm", TELLS, True), ("fresh", TELLS, False), ("warm", THREAD + TELLS, False)],
)
def test_an_app_is_forked_where_that_is_wanted_and_safe(
    tmp_path: Path, *, start: str, code: str, is_forked: bool
) -> None:
    content = RecordDict({"config": ConfigRecord({"word": "hello"})})
    node = LaunchingSuperNode(build_app(tmp_path / "app", code), content)

    async def scenario() -> int:
        async with superexec(node, tmp_path, "--app-start", start) as process:
            await node.until("PushAppOutputs")
            return process.pid

    executor = asyncio.run(scenario())
    assert (node.answer().content["facts"]["parent"] != executor) is is_forked


@pytest.mark.row("F22")
def test_a_launch_that_is_over_already_starts_nothing(tmp_path: Path) -> None:
    content = RecordDict({"config": ConfigRecord({"word": "hello"})})
    node = LaunchingSuperNode(build_app(tmp_path / "app", QUICK), content)
    node.failures["PullAppInputs"] = UnauthenticatedError("Authentication failed.")

    async def scenario() -> None:
        async with superexec(node, tmp_path) as process:
            await node.until("PullAppInputs")
            await asyncio.sleep(0.5)
            assert not children_of(process.pid)

    asyncio.run(scenario())
    assert node.exits == []


def test_a_clientapp_without_its_inputs_is_reported_with_the_cause(tmp_path: Path) -> None:
    content = RecordDict({"config": ConfigRecord({"word": "hello"})})
    node = LaunchingSuperNode(build_app(tmp_path / "app", QUICK), content)
    node.failures["PullAppInputs"] = NotFoundError("the bundle is gone")

    async def scenario() -> None:
        async with superexec(node, tmp_path):
            await node.until("ReportExit")

    asyncio.run(scenario())
    code, cause = node.exits[0]
    assert code == 70
    assert "the bundle is gone" in cause
