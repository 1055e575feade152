"""The kernel ends a worker for memory: that costs the message it held, and the cause is said.

The simulation is in a control group with a limit, as in a container; only root can make one.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.program import eventually
from tests.harness.toolset import ROOT
from tests.simulation.commands import Group, config, run

PROBE: Final = ROOT / "tests" / "apps" / "probe"
MB: Final = 1024 * 1024
TOO_MUCH: Final = config(
    {"deed": "by-partition", "argument": "import:json allocate:4000 import:json", "nodes": 3}
)


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group(f"flwr-test-{os.getpid()}")
    try:
        made.make()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield made
    eventually(lambda: not made.processes(), timeout=60)
    eventually(lambda: is_removed(made), timeout=60)


def is_removed(group: Group) -> bool:
    try:
        group.remove()
    except OSError:  # the kernel has not done with the last process
        return False
    return True


@pytest.mark.row("S75", "F5")
@pytest.mark.parametrize("start", ["warm", pytest.param("fresh", marks=pytest.mark.long)])
def test_a_worker_of_the_pool_goes_and_not_the_run(
    tmp_path: Path, group: Group, start: str
) -> None:
    group.limit(200 * MB)
    choice = ("--backend", "pool", "--workers", "2", "--app-start", start)
    output, document = run(tmp_path, PROBE, 3, *choice, *TOO_MUCH, group=group)
    check(output, document)
    assert output.count("it ran out of memory, another takes its place") == 2


@pytest.mark.row("S74", "F5")
def test_a_worker_of_ray_goes_and_not_the_run(tmp_path: Path, group: Group) -> None:
    pytest.importorskip("ray")
    group.limit(1500 * MB)
    choice = ("--backend", "ray", "--workers", "2", "--init-args", "object_store_memory=80000000")
    check(*run(tmp_path, PROBE, 3, *choice, *TOO_MUCH, group=group))


def check(output: str, document: dict[str, object]) -> None:
    """The one message failed, after it was tried again, and its reply says why."""
    assert document["success"], output[-3000:]
    assert document["messages"] == {"answered": 3, "failed": 1}
    assert output.count("gets its message again: its worker was killed") == 1
    (line,) = [line for line in output.splitlines() if "met: " in line]
    # Two processes write to one log: a line of the run's may follow without an end of line.
    met, _ = json.JSONDecoder().raw_decode(line.split("met: ", 1)[1])
    assert sorted(met) == ["0", "2", "error"]
    code, reason = met["error"]
    assert code == 8
    assert "it ran out of memory" in reason
