"""Several sites on one machine whose ClientApps wait for each other."""

import json
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from flwr.shell.cpus import available_cpus
from tests.harness.apps import config
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import Program
from tests.harness.toolset import OURS, ROOT

QUEUED = ROOT / "tests" / "apps" / "queued"
APP = ("--server-app", f"{QUEUED / 'hub.py'}:app", "--client-app", f"{QUEUED / 'node.py'}:app")


def events(program: Program, name: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in program.output.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == name]


def run(federation: Federation, **values: object) -> tuple[int, int, str]:
    """Return how many answered, how many of them worked beside another, which GPUs they saw."""
    started = federation.flwr_json("run", CONNECTION, *APP, *config(**values))
    federation.await_end(started["run-id"])
    log = federation.log_of(started["run-id"])
    found = re.search(r"answers: (\d+) together: (\d+) gpus: (.*)", log)
    assert found, log
    return int(found[1]), int(found[2]), found[3]


@pytest.mark.row("F17")
def test_sites_of_one_machine_take_turns_and_what_has_expired_meanwhile_is_not_started(
    federation: Federation,
) -> None:
    """Each app needs every CPU: one runs at a time, whichever site it is of."""
    with TemporaryDirectory(prefix="q-") as folder:
        flags = ["--cpus-per-app", str(available_cpus()), "--gpus-per-app", "0"]
        flags += ["--admission-dir", str(Path(folder) / "queue")]
        federation.start_superlink()
        nodes = [federation.start_node(n, OURS, *flags, of=3) for n in (1, 2, 3)]
        federation.await_nodes(3)

        answered = run(federation, seconds=1.0, pause=0.0, last_ttl=120.0, patience=100.0, begun="")
        assert answered == (3, 0, "['']")
        causes = [str(event["cause"]) for node in nodes for event in events(node, "waiting")]
        taken = f"{available_cpus()} of {available_cpus()} taken"
        assert causes
        assert all(taken in cause or "asked before" in cause for cause in causes)

        begun = sum(len(events(node, "launched")) for node in nodes)
        # The last one is asked 1.5 s after the first began, and has expired before that ends.
        first = str(Path(folder) / "begun")
        answered = run(
            federation, seconds=4.0, pause=1.5, last_ttl=1.5, patience=100.0, begun=first
        )
        assert answered[:2] == (2, 0)
        assert sum(len(events(node, "launched")) for node in nodes) - begun == 2, (
            "expired: not begun"
        )


@pytest.mark.row("S74")
def test_a_site_that_could_never_run_an_app_does_not_start(federation: Federation) -> None:
    flags = ["--insecure", "--superlink", "127.0.0.1:1", "--memory-per-app", "900t"]
    node = federation.start("node-1", OURS, "flower-supernode", *flags)
    assert node.wait() == 2
    assert "one app needs 1 CPU, " in node.output
    assert "lower --cpus-per-app, --memory-per-app" in node.output


HOLDS_ALL = """
import asyncio, sys
from pathlib import Path
from flwr.core.clock import SystemClock
from flwr.core.lease import AppKind
from flwr.shell.resource_settings import read_room
from flwr.superexec.shared_queue import SharedAdmission

GIVEN = ("max_apps", "cpus_per_app", "memory_per_app", "gpus_per_app")
VALUES = dict.fromkeys(GIVEN) | {"admission_dir": Path(sys.argv[1])}

async def main():
    room = read_room(VALUES, AppKind.CLIENTAPP)
    async with SharedAdmission(room.shared_by, room, SystemClock()) as admission:
        held = [admission.admitted() for _ in range(room.apps)]
        for one in held:
            await one.__aenter__()
        print("all", flush=True)
        if sys.argv[2] == "wait":
            await asyncio.Event().wait()

asyncio.run(main())
"""


def test_what_a_killed_executor_had_is_there_again() -> None:
    """It keeps the queue, too: the next one has to take that over."""
    with TemporaryDirectory(prefix="q-") as folder:
        argv = [sys.executable, "-c", HOLDS_ALL, folder]
        killed = subprocess.Popen([*argv, "wait"], stdout=subprocess.PIPE, text=True)
        with killed:
            assert killed.stdout is not None
            assert killed.stdout.readline() == "all\n"
            following = subprocess.Popen([*argv, "end"], stdout=subprocess.PIPE, text=True)
            with following:
                with pytest.raises(subprocess.TimeoutExpired):
                    following.wait(timeout=2)
                killed.kill()
                try:
                    assert following.wait(timeout=60) == 0
                finally:
                    following.kill()
