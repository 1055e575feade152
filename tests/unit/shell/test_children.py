import asyncio
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.shell import children
from flwr.shell.children import Child, describe_exit
from flwr.shell.parent import until_parent_exits

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)"
)


def test_a_child_that_ignores_sigterm_is_killed_after_the_grace() -> None:
    async def scenario() -> tuple[int, str]:
        code = f"{STUBBORN}; time.sleep(60)"
        child = await Child.start([sys.executable, "-c", code], capture=True)
        assert child.stdout is not None
        await child.stdout.readline()
        return await child.stop(timedelta(milliseconds=50)), child.cause_of_exit()

    assert asyncio.run(scenario()) == (-signal.SIGKILL, "was killed by SIGKILL")


def test_stopping_takes_the_grandchildren_along() -> None:
    code = (
        "import subprocess, sys, time;"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "print(p.pid, flush=True); time.sleep(60)"
    )

    async def scenario() -> None:
        child = await Child.start([sys.executable, "-c", code], capture=True)
        assert child.stdout is not None
        grandchild = int(await child.stdout.readline())
        await child.stop(timedelta(seconds=5))
        async with asyncio.timeout(60):
            await until_parent_exits(grandchild) if _is_alive(grandchild) else None

    asyncio.run(scenario())


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - proc, not a path
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_secrets_travel_over_stdin() -> None:
    async def scenario() -> bytes:
        code = "import sys; print(sys.stdin.read()[::-1])"
        child = await Child.start([sys.executable, "-c", code], is_told=True, capture=True)
        child.tell(b"token")
        assert child.stdout is not None
        out = await child.stdout.read()
        await child.wait()
        return out.strip()

    assert asyncio.run(scenario()) == b"nekot"


def test_the_end_of_a_parent_is_noticed() -> None:
    async def scenario() -> None:
        child = await Child.start([sys.executable, "-c", "import time; time.sleep(60)"])
        watching = asyncio.create_task(until_parent_exits(child.pid))
        await asyncio.sleep(0.05)
        assert not watching.done()
        os.kill(child.pid, signal.SIGKILL)
        async with asyncio.timeout(60):
            await watching
            await child.wait()

    asyncio.run(scenario())


def test_causes_of_exit_read_well() -> None:
    assert describe_exit(3) == "exited with code 3"
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert describe_exit(-9, ran_out_of_memory=True) == (
        "was killed by SIGKILL: it ran out of memory"
    )


def test_a_child_that_stood_by_is_not_blamed_for_the_memory_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kills = iter([0, 1, 1])  # when it starts, when it gets its work, when it has ended
    monkeypatch.setattr("flwr.shell.children.oom_kills", lambda: next(kills))

    async def scenario() -> str:
        child = await Child.start(["sleep", "60"], is_told=True)
        child.tell(b"")
        child.signal(signal.SIGKILL)
        await child.wait()
        return child.cause_of_exit()

    assert asyncio.run(scenario()) == "was killed by SIGKILL"


@pytest.mark.parametrize("name", ["memory.events", "memory.oom_control"])
def test_kills_for_memory_are_counted_in_the_innermost_group_that_counts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    outer, inner = tmp_path, tmp_path / "service"
    inner.mkdir()
    (outer / name).write_text("low 0\noom_kill 5\n")
    (inner / name).write_text("low 0\noom_kill 3\n")
    monkeypatch.setattr(children, "own_groups", lambda _: [inner / "job", inner, outer])
    children._oom_file.cache_clear()
    assert children.oom_kills() == 3
    children._oom_file.cache_clear()
