#!/usr/bin/env python3
"""From a bare machine to a finished federated run in containers, TLS and node keys on.

Installs and starts Docker Engine when there is none, makes images, certificates and the images of
examples/digits, starts a SuperLink and its SuperNodes, submits the app and shows its rounds.  What
is there already is kept, so a second run takes seconds, and an interrupted one goes on where it
was.  The settings are those of compose/.env; when there is none, the demo writes it.

Exit codes: 0 done, 1 the run did not end well, 2 wrong usage, 3 something is missing or taken.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.federation import (
    COMPOSE,
    EXAMPLE,
    MAX_NODES,
    ROOT,
    SETTINGS,
    Container,
    Federation,
    docker,
)
from scripts.progress import Progress, StepError

LOGS: Final = ROOT / ".state" / "demo" / "logs"
PKI: Final = ROOT / "scripts" / "pki.sh"
APP: Final = "examples/digits"
WANTED_ACCURACY: Final = 0.90
NEEDED_MB: Final = 3000  # bases, images and wheels take about two thirds of it
OURS: Final = "# Written by `make demo`; yours as soon as you remove this line."
MIN_NODES: Final = 2  # FedAvg's own minimum
CHATTER: Final = "INFO :"  # how the strategy begins its many lines
_KEPT: Final = re.compile(r"^(FLWR_(?:NODES|SERVERAPP_IMAGE|CLIENTAPP_IMAGE))=(.+)$", re.MULTILINE)
_ROUND: Final = re.compile(r"Round (\d+): loss [\d.]+, accuracy ([\d.]+)")


class RunError(Exception):
    """The run did not end as it should."""


@dataclass
class Outcome:
    """What the run printed that matters."""

    accuracy: float | None = None
    first_round_s: float | None = None  # since the demo began


def settings_text(example: str, values: dict[str, str]) -> str:
    """Return the example with some of its values replaced."""
    for name, value in values.items():
        example, count = re.subn(rf"^{name}=.*$", f"{name}={value}", example, flags=re.MULTILINE)
        if count != 1:
            raise StepError(f"{EXAMPLE} sets {name} {count} times")
    return f"{OURS}\n\n{example}"


def is_ours(settings: Path) -> bool:
    """Tell whether the demo may write that file: it did, or there is none."""
    return not settings.exists() or settings.read_text("utf-8").startswith(OURS)


class Demo:
    """One walk through the whole path."""

    def __init__(self, settings: Path, nodes: int | None, rounds: int) -> None:
        """Take what the person asked for; nodes None: what the settings say."""
        self.settings, self.rounds = settings, rounds
        self.begun = time.monotonic()
        self.outcome = Outcome()
        self.progress = Progress(7, LOGS)
        self._nodes = nodes

    def walk(self) -> None:
        """Do everything.

        Raises:
            StepError: a step before the run failed.
            RunError: the run did.
        """
        with self.progress.step("engine") as step:
            self.engine(step)
            self.settle({}).check_ports()
        with self.progress.step("images") as step:
            step.run("images", [sys.executable, str(ROOT / "images" / "build.py")])
            step.note("superlink, supernode, serverapp, clientapp, cli, certs")
        with self.progress.step("images of the app") as step:
            images = self.app_images(step)
        federation = self.settle(images)
        with self.progress.step("certificates") as step:
            self.certificates(step, federation)
        with self.progress.step("federation") as step:
            self.start(step, federation)
        with self.progress.step(f"flwr run {APP} --stream --wait", streams=True):
            self.run(federation)
        with self.progress.step("flwr ls; docker compose ps", streams=True):
            containers = self.look(federation)
        self.summarize(federation, containers)

    def engine(self, step: Progress) -> None:
        """Make sure that an engine answers and has room."""
        tool = [sys.executable, str(ROOT / "scripts" / "engine.py")]
        step.run("engine-install", [*tool, "install"])
        step.run("engine-up", [*tool, "up"])
        where = Path(docker("info", "--format", "{{.DockerRootDir}}").strip())
        for folder in (ROOT, where if where.exists() else ROOT):
            free = shutil.disk_usage(folder).free // 1_000_000
            if free < NEEDED_MB and not has_demo_images():
                raise StepError(
                    f"{folder} has {free} MB free; the demo needs about {NEEDED_MB}\n"
                    "  what to do: free some (docker system df), or use another disk"
                )
        version = docker("version", "--format", "{{.Server.Version}}").strip()
        step.note(f"Docker Engine {version}")

    def app_images(self, step: Progress) -> dict[str, str]:
        """Build the images that hold the app's packages; return the settings that name them."""
        tool = [sys.executable, str(ROOT / "images" / "app_image.py"), str(ROOT / APP)]
        printed = step.run("app-images", tool)
        found = dict(re.findall(r"(FLWR_(?:SERVERAPP|CLIENTAPP)_IMAGE)=(\S+)", printed))
        step.note(", ".join(image.rpartition("/")[2] for image in found.values()))
        return found

    def settle(self, images: dict[str, str]) -> Federation:
        """Return the federation that the settings describe, with the app's images in it.

        Raises:
            StepError: the settings start too few nodes for the app.
        """
        wanted = dict(images)
        if self._nodes is not None:
            wanted["FLWR_NODES"] = str(self._nodes)
        if is_ours(self.settings):
            text = self.settings.read_text("utf-8") if self.settings.exists() else ""
            wanted = dict(_KEPT.findall(text)) | wanted
            self.settings.write_text(settings_text(EXAMPLE.read_text("utf-8"), wanted), "utf-8")
            wanted = {}
        elif self._nodes is not None:
            wanted["COMPOSE_PROFILES"] = f"nodes-{self._nodes}"
        federation = Federation(self.settings, wanted)
        nodes = sum(name.startswith("supernode-") for name in federation.model["services"])
        if nodes < MIN_NODES:
            raise StepError(
                f"{self.settings} starts {nodes} node; {APP} averages {MIN_NODES} or more\n"
                "  what to do: make demo NODES=3"
            )
        return federation

    @staticmethod
    def certificates(step: Progress, federation: Federation) -> None:
        """Make what is missing of keys and certificates, where the settings expect them."""
        nodes = sum(name.startswith("supernode-") for name in federation.model["services"])
        mounts = federation.model["services"]["superlink"]["volumes"]
        folder = next(Path(m["source"]).parent for m in mounts if m["target"] == "/run/secrets")
        env = {**os.environ, "FLWR_CERTS_DIR": str(folder)}
        step.run("certificates", [str(PKI), "all", "--nodes", str(nodes)], env=env)
        shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
        step.note(f"authority, server, {nodes} node keys: {shown}")

    def start(self, step: Progress, federation: Federation) -> None:
        """Start all containers and wait until each says that it works."""
        federation.check_parts()
        federation.remember()
        federation.retire()
        step.run("up", federation.up(), env=federation.env, cwd=COMPOSE)
        containers = federation.containers()
        step.note(f"{len(containers)} containers healthy: {federation.name}")

    def run(self, federation: Federation) -> None:
        """Submit the app, show what it prints, and read the accuracy from it.

        Raises:
            RunError: it failed, or learned too little.
        """
        submit = ["run", "/app", "--stream", "--wait"]
        submit += ["--run-config", f"num-server-rounds={self.rounds}"]
        command = federation.command("run", "--rm", "-T", "cli", *submit)
        env = {**federation.env, "FLWR_APP": str(ROOT / APP)}
        with subprocess.Popen(
            command,
            cwd=COMPOSE,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            for line in process.stdout or ():
                self.read(line)
        if process.returncode != 0:
            raise RunError(f"flwr run exited with {process.returncode}")
        if self.outcome.accuracy is None:
            raise RunError("the run printed no accuracy")
        if self.outcome.accuracy <= WANTED_ACCURACY:
            raise RunError(f"accuracy {self.outcome.accuracy:.3f} is not above {WANTED_ACCURACY}")

    def read(self, line: str) -> None:
        """Show one line of the run, unless it is chatter, and take what matters from it."""
        if not line.startswith(CHATTER) and line.strip():
            print(f"      {line}", end="", flush=True)
        if found := _ROUND.search(line):
            self.outcome.accuracy = float(found[2])
            if self.outcome.first_round_s is None and found[1] != "0":
                self.outcome.first_round_s = time.monotonic() - self.begun

    def look(self, federation: Federation) -> list[Container]:
        """Show the list of runs and every container's state.

        Raises:
            RunError: one is not healthy.
        """
        print(federation.output("run", "--rm", "-T", "cli", "ls").rstrip())
        containers = federation.containers()
        print(f"\n  {'Service':<14} {'State':<10} Health")
        for container in containers:
            print(f"  {container.service:<14} {container.state:<10} {container.health}")
        if ill := [c.service for c in containers if not c.is_healthy]:
            raise RunError(f"not healthy: {', '.join(ill)}")
        return containers

    def summarize(self, federation: Federation, containers: list[Container]) -> None:
        """Say what was reached, how long it took and what to type next."""
        total, outcome = time.monotonic() - self.begun, self.outcome
        nodes = sum(c.service.startswith("supernode") for c in containers)
        assert outcome.accuracy is not None
        print(
            f"\nAccuracy on digits no node has seen: {outcome.accuracy:.3f}"
            f" after {self.rounds} rounds on {nodes} nodes.\n"
            f"First round done {outcome.first_round_s or total:.1f} s after the start, "
            f"everything after {total:.1f} s.\n\n{advice(federation, self.settings)}"
        )


def has_demo_images() -> bool:
    """Tell whether an earlier run has taken the disk space already."""
    return bool(docker("image", "ls", "--quiet", "flwr-compose/superlink"))


def advice(federation: Federation, settings: Path) -> str:
    """Return what a person may type next."""
    ports = {
        int(port["target"]): f"{port['host_ip']}:{port['published']}"
        for port in federation.model["services"]["superlink"]["ports"]
    }
    file = "" if settings == SETTINGS else f" --env-file {settings}"
    compose = f"docker compose{file}"
    lines = (
        ("make demo NODES=5", "more sites"),
        ("cd compose", "here docker compose knows the federation"),
        (f"{compose} run --rm cli ls", "runs; also: log, stop, supernode list, --help"),
        (f"FLWR_APP=PATH {compose} run --rm cli run /app --stream", "an app of yours"),
        ("make app-image APP=PATH", "images with its packages, when it needs some"),
        (f"{compose} logs --follow superlink", "or of another service above"),
        ("less README.md", "servers, sites, features"),
        ("make down", "stop everything; state is kept, and make up goes on"),
        ("make clean", "remove every trace"),
    )
    width = max(len(command) for command, _ in lines)
    return (
        f"Listening: Fleet API {ports[9092]} (sites dial it), Control API {ports[9093]} (flwr).\n\n"
        "What to type next:\n" + "\n".join(f"  {command:<{width}}  {why}" for command, why in lines)
    )


def node_count(text: str) -> int:
    """Read a number of nodes."""
    if not text.isdecimal() or not MIN_NODES <= int(text) <= MAX_NODES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number from {MIN_NODES} to {MAX_NODES}"
        )
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    made = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--nodes", type=node_count, help="SuperNodes (default: as in the settings; 3)"
    )
    made.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    made.add_argument(
        "--env-file", type=Path, default=SETTINGS, help="settings (default: compose/.env)"
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    args = parser().parse_args(argv)
    try:
        os.chdir(ROOT)
        Demo(args.env_file.absolute(), args.nodes, args.rounds).walk()
    except StepError as error:
        sys.stderr.write(f"\nmake demo: {error}\n")
        return 3
    except RunError as error:
        sys.stderr.write(
            f"\nmake demo: {error}\n"
            "  what to do: cd compose && docker compose logs superlink serverapp clientapp-1\n"
        )
        return 1
    except OSError as error:
        sys.stderr.write(
            f"\nmake demo: {error.filename}: {error.strerror}\n"
            "  what to do: run it as the owner of this folder, with room on its disk\n"
        )
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.  make demo goes on from here; make down stops all.\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
