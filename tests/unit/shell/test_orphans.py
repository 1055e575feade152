import subprocess
import sys
from typing import Final

import pytest

PR_SET_CHILD_SUBREAPER: Final = 36
# As process 1 would: it gets every orphan below it, and starts children of its own.
REAPER: Final = f"""
import asyncio, ctypes, os, sys
from datetime import timedelta
from pathlib import Path
from flwr.shell.children import Child
from flwr.shell.orphans import orphans_reaped

ctypes.CDLL(None).prctl({PR_SET_CHILD_SUBREAPER}, 1, 0, 0, 0)

def children():
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid():
            yield state

async def main():
    with orphans_reaped(pid=int(sys.argv[1])):
        orphaner = ["sh", "-c", "(sleep 0.1 & sleep 0.2 & ) ; exit 7"]
        codes = await asyncio.gather(*[(await Child.start(orphaner)).wait() for _ in range(5)])
        assert codes == [7] * 5, codes
        wanted = ["Z"] * int(sys.argv[2])
        for _ in range(600):
            if (left := list(children())) == wanted:
                break
            await asyncio.sleep(0.1)
        print(len(left))

asyncio.run(main())
"""


@pytest.mark.parametrize(("pid", "left"), [(1, "0"), (2, "10")])
def test_process_1_waits_for_orphans_and_leaves_its_own_children_to_their_owner(
    pid: int, left: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REAPER, str(pid), left],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == left
