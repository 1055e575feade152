#!/usr/bin/env python3
"""A TLS federation of processes on this machine: real data in, trained model out.

Starts a SuperLink and NODES SuperNodes with node keys on free loopback ports, submits
``examples/digits``, shows its progress and ends with the accuracy and the list of runs.  Everything
it writes lies below ``.state/demo``; everything it started is stopped at the end.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
STATE: Final = ROOT / ".state" / "demo"
BIN: Final = Path(sys.executable).parent
WANTED_ACCURACY: Final = 0.90
START_S: Final = 30.0
STOP_S: Final = 30.0


class DemoError(Exception):
    """A step failed; the text says which log to read."""


class Demo:
    """One federation of processes."""

    def __init__(self, nodes: int) -> None:
        self.nodes = nodes
        self.fleet, self.control, self.serverappio = (free_address() for _ in range(3))
        self.certs = STATE / "certs"
        self.logs = STATE / "logs"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Make certificates and keys; start with an empty database."""
        for name in ("superlink", "logs", "home", *(p.name for p in STATE.glob("node-*"))):
            shutil.rmtree(STATE / name, ignore_errors=True)
        self.logs.mkdir(parents=True)
        pki = [sys.executable, str(ROOT / "certs" / "pki.py"), "all", "--out"]
        pki += [str(self.certs), "--nodes", str(self.nodes)]
        subprocess.run(pki, check=True, stdout=subprocess.DEVNULL)

    def start_superlink(self) -> None:
        """Start the hub: TLS, and only nodes whose keys are on the list."""
        files = {"ca-certfile": "ca.crt", "certfile": "server.crt", "keyfile": "server.key"}
        tls = {f"--ssl-{flag}": f"superlink/{file}" for flag, file in files.items()}
        self._start(
            "superlink",
            "flower-superlink",
            *(part for flag, file in tls.items() for part in (flag, self._cert(file))),
            "--node-keys",
            self._cert("superlink/node-keys.pub"),
            *("--state-dir", str(STATE / "superlink")),
            *("--fleet-api-address", self.fleet),
            *("--control-api-address", self.control),
            *("--serverappio-api-address", self.serverappio),
        )
        self._until(lambda: accepts(self.control) and accepts(self.fleet), "the SuperLink")

    def start_nodes(self) -> None:
        """Start the sites, each with its own key and its own share of the data."""
        for number in range(1, self.nodes + 1):
            self._start(
                f"node-{number}",
                "flower-supernode",
                *("--superlink", self.fleet, "--root-certificates", self._cert("user/ca.crt")),
                *("--auth-supernode-private-key", self._cert(f"supernode-{number}/node.key")),
                *("--node-config", f"partition-id={number - 1} num-partitions={self.nodes}"),
                *("--clientappio-api-address", "127.0.0.1:0"),
                *("--state-dir", str(STATE / f"node-{number}")),
            )

    def await_nodes(self) -> None:
        """Wait until every site is online."""

        def online() -> bool:
            nodes = self.flwr("supernode", "list", "--format", "json", capture=True)
            found: list[dict[str, str]] = json.loads(nodes)["nodes"]
            return sum(node["status"] == "online" for node in found) == self.nodes

        self._until(online, "every SuperNode")

    def flwr(self, *args: str, capture: bool = False) -> str:
        """Run one ``flwr`` command against this SuperLink, by flags alone."""
        command = [str(BIN / "flwr"), *args, "--superlink", self.control]
        done = subprocess.run(
            [*command, "--root-certificates", self._cert("user/ca.crt")],
            env={**os.environ, "FLWR_HOME": str(STATE / "home")},
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise DemoError(f"flwr {args[0]} exited with {done.returncode}; logs: {self.logs}")
        return done.stdout or ""

    def stop(self) -> None:
        """Stop everything, nodes first; what does not listen is killed."""
        for process in reversed(self.processes.values()):
            process.terminate()
        deadline = time.monotonic() + STOP_S
        for name, process in self.processes.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                print(f"{name} did not stop within {STOP_S:.0f} s and is killed")
                process.kill()

    def _cert(self, name: str) -> str:
        return str(self.certs / name)

    def _start(self, name: str, program: str, *args: str) -> None:
        with (self.logs / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(BIN / program), *args],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "FLWR_HOME": str(STATE / "home" / name)},
                start_new_session=True,
            )

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_S
        while not holds():
            ended = [n for n, p in self.processes.items() if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                log = (self.logs / f"{(ended or ['superlink'])[0]}.log").read_text()[-2000:]
                raise DemoError(f"{what} is not up:\n{log}")
            time.sleep(0.05)


def free_address() -> str:
    """Return a loopback address nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def accepts(address: str) -> bool:
    """Tell whether somebody listens on ``address``."""
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def final_accuracy(log: str) -> float:
    """Return the last accuracy that the run printed.

    Raises:
        DemoError: it printed none.
    """
    found = re.findall(r"^Round \d+: loss [\d.]+, accuracy ([\d.]+)", log, re.MULTILINE)
    if not found:
        raise DemoError("the run printed no accuracy")
    return float(found[-1])


def run_demo(demo: Demo, rounds: int) -> None:
    """Walk through the whole path of a run."""
    say(f"Certificates, node keys and their list: {demo.certs.relative_to(ROOT)}")
    demo.prepare()
    say(f"SuperLink: Fleet API {demo.fleet}, Control API {demo.control}, TLS on")
    demo.start_superlink()
    say(f"{demo.nodes} SuperNodes, each with its key and its part of the 1,797 digits")
    demo.start_nodes()
    demo.await_nodes()
    demo.flwr("supernode", "list")
    say("flwr run examples/digits --stream --wait")
    app = str(ROOT / "examples" / "digits")
    settings = f"num-server-rounds={rounds}"
    begun = time.monotonic()
    demo.flwr("run", app, "--stream", "--wait", "--run-config", settings)
    took = time.monotonic() - begun
    say("flwr ls")
    demo.flwr("ls")
    run_id = re.findall(r'"run-id": "(\d+)"', demo.flwr("ls", "--format", "json", capture=True))[0]
    accuracy = final_accuracy(demo.flwr("log", run_id, "--show", capture=True))
    print(
        f"\nAccuracy on digits no node has seen: {accuracy:.3f}   ({rounds} rounds, {took:.1f} s)"
    )
    if accuracy <= WANTED_ACCURACY:
        raise DemoError(f"accuracy {accuracy:.3f} is not above {WANTED_ACCURACY}")


def say(text: str) -> None:
    """Announce a step."""
    print(f"\n\033[1m▸ {text}\033[0m" if sys.stdout.isatty() else f"\n▸ {text}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=2, help="SuperNodes (default: 2)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    args = parser.parse_args(argv)
    demo = Demo(args.nodes)
    try:
        run_demo(demo, args.rounds)
    except DemoError as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    finally:
        demo.stop()
    print("""
What to type next:
  make demo-local NODES=5              more sites
  .venv/bin/flwr new my-app            an app of your own, ...
  .venv/bin/flwr run my-app --stream   ... run on a federation that flwr starts for you
  less README.md""")
    return 0


if __name__ == "__main__":
    sys.exit(main())
