"""Code moves to large pages and is executed there; where there are none, nothing changes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

_PAGES: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")

PROGRAM: Final = """
import ctypes, json, os, resource, sys
import numpy as np
from flwr.shell.code_pages import gather_code

def work():
    return json.dumps(float((np.arange(100.0) * 2 + 1).sum()))

def faults_of_fork():
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    if (pid := os.fork()) == 0:
        work()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before

def code():
    with open("/proc/self/maps") as file:
        return [line for line in file if " r-xp " in line]

def large():
    with open("/proc/self/smaps") as file:
        sizes, is_code = 0, False
        for line in file:
            if line[0] in "0123456789abcdef" and "-" in line.split()[0]:
                is_code = " r-xp " in line
            elif is_code and line.startswith("AnonHugePages:"):
                sizes += int(line.split()[1]) * 1024
        return sizes

if sys.argv[1] == "without":
    assert ctypes.CDLL(None).prctl(41, 1, 0, 0, 0) == 0  # PR_SET_THP_DISABLE
expected, before, faults = work(), code(), faults_of_fork()
work_of_forks = {"much": work, "failure": lambda: 1 / 0}[sys.argv[2]]
found = {"moved": gather_code(work_of_forks), "again": gather_code(work_of_forks)}
found["large"] = large()
found |= {"alike": work() == expected, "untouched": code() == before}
print(json.dumps(found | {"faults": [faults, faults_of_fork()]}))
"""


def _run(pages: str, work: str = "much") -> dict[str, Any]:
    program = [sys.executable, "-c", PROGRAM, pages, work]
    found: dict[str, Any] = json.loads(subprocess.check_output(program, text=True, timeout=60))
    return found


@pytest.mark.skipif(
    not _PAGES.exists() or "[never]" in _PAGES.read_text(),
    reason="this kernel gives no large pages",
)
def test_much_used_code_is_executed_from_large_pages() -> None:
    found = _run("with")

    assert found["moved"] == found["large"] > 0
    assert not found["again"]
    assert found["alike"]
    before, after = found["faults"]
    assert after < before


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux'")
def test_code_stays_where_it_is_if_forks_fail() -> None:
    found = _run("with", "failure")

    assert found["moved"] == found["large"] == 0
    assert found["untouched"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux'")
def test_code_stays_where_it_is_without_large_pages() -> None:
    found = _run("without")

    assert found["moved"] == found["again"] == found["large"] == 0
    assert found["untouched"]
    assert found["alike"]
