#!/usr/bin/env python3
"""Start and stop the federation that compose/.env describes.

``up`` checks first what would fail later with a riddle (images, keys, ports), starts everything,
ends nodes beyond FLWR_NODES and waits until all is healthy.  ``prepare`` does no more than what
comes before the first start.  ``down`` stops it and keeps its state.
``docker compose`` in compose/ does the same by hand.  Needs Python alone; may be repeated.

Exit codes: 0 done, 2 wrong usage, 3 something is missing, taken or does not answer.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from images.inputs import LOCAL_REGISTRY
from scripts.progress import StepError

ROOT: Final = Path(__file__).resolve().parents[1]
COMPOSE: Final = ROOT / "compose"
SETTINGS: Final = COMPOSE / ".env"
EXAMPLE: Final = COMPOSE / ".env.example"
KNOWN: Final = ROOT / ".state" / "federations"  # names of those started from here, one per line
WAIT_S: Final = 120
MAX_NODES: Final = 16
PORT_SETTINGS: Final[Mapping[int, str]] = {9092: "FLWR_FLEET_PORT", 9093: "FLWR_CONTROL_PORT"}
_NODE: Final = re.compile(r"(?:supernode|clientapp)-(\d+)")
PROJECT: Final = "com.docker.compose.project"
_SERVICE: Final = "com.docker.compose.service"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of the federation, as a person wants to see it."""

    service: str
    state: str
    health: str

    @property
    def is_healthy(self) -> bool:
        """True when it runs and says so itself."""
        return self.state == "running" and self.health == "healthy"


class Federation:
    """The compose project of one settings file."""

    def __init__(self, settings: Path = SETTINGS, env: Mapping[str, str] | None = None) -> None:
        """Take the settings file and variables that count more than it."""
        self.settings = settings
        self.env = {**os.environ, **(env or {})}
        self._model: dict[str, Any] | None = None

    def command(self, *args: str) -> list[str]:
        """Return the ``docker compose`` command with these arguments."""
        folder = ["--project-directory", str(COMPOSE)]
        named = [] if self.settings == SETTINGS else ["--env-file", str(self.settings)]
        return ["docker", "compose", *folder, *named, *args]

    def output(self, *args: str) -> str:
        """Return what ``docker compose`` prints.

        Raises:
            StepError: it failed.
        """
        done = subprocess.run(
            self.command(*args),
            cwd=COMPOSE,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StepError(f"docker compose {args[0]}: {done.stderr.strip()}")
        return done.stdout

    @property
    def model(self) -> dict[str, Any]:
        """What the files and settings add up to."""
        if self._model is None:
            model: dict[str, Any] = json.loads(self.output("config", "--format", "json"))
            self._model = model
        return self._model

    @property
    def name(self) -> str:
        """Name of the compose project."""
        return str(self.model["name"])

    def containers(self) -> list[Container]:
        """Return the federation's containers, by service."""
        lines = self.output("ps", "--all", "--format", "json").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        found = [Container(r["Service"], r["State"], r["Health"]) for r in rows]
        return sorted(found, key=lambda c: (not c.service.startswith("super"), c.service))

    def check_parts(self) -> None:
        """Look for images and folders that ``up`` would miss.

        Raises:
            StepError: naming one and how to make it.
        """
        for service, spec in self.model["services"].items():
            if spec.get("scale") == 0:
                continue
            image = str(spec["image"])
            if image.startswith(f"{LOCAL_REGISTRY}/") and not has_image(image):
                raise StepError(
                    f"there is no image {image} for {service}\n  what to do: make images"
                )
            for mount in spec.get("volumes", []):
                self._check_mount(service, mount)

    def check_ports(self) -> None:
        """Look for ports that somebody else has.

        Raises:
            StepError: naming the variable that changes it.
        """
        own = published_ports(self.name)
        for spec in self.model["services"].values():
            for port in spec.get("ports", []):
                if int(port["published"]) not in own:
                    self._check_port(port)

    def up(self) -> list[str]:
        """Return the command that starts everything and waits until all is healthy."""
        return self.command("up", "--detach", "--wait", "--wait-timeout", str(WAIT_S))

    def retire(self) -> list[str]:
        """End nodes that run but are no longer wanted; return their services."""
        retired = []
        for container, service in project_containers(self.name):
            if _NODE.fullmatch(service) and service not in self.model["services"]:
                docker("stop", container)
                docker("rm", container)
                retired.append(service)
        return sorted(retired)

    def remember(self) -> None:
        """Write the name down for ``make clean``, which removes every trace."""
        known = KNOWN.read_text("utf-8").split() if KNOWN.exists() else []
        if self.name not in known:
            KNOWN.parent.mkdir(parents=True, exist_ok=True)
            KNOWN.write_text("\n".join([*known, self.name]) + "\n", "utf-8")

    def _check_mount(self, service: str, mount: Mapping[str, Any]) -> None:
        source = Path(str(mount.get("source", "")))
        if mount["type"] == "bind" and not source.exists():
            remedy = "correct the path in compose/.env"
            if mount["target"] == "/run/secrets":
                remedy = "make certs" if source.name != "postgres" else "make database-secret"
            elif mount["target"] == "/run/database":
                remedy = "make database-secret"
            raise StepError(f"{service} needs {source}, which is missing\n  what to do: {remedy}")

    def _check_port(self, port: Mapping[str, Any]) -> None:
        address, number = str(port["host_ip"]), int(port["published"])
        if is_free(address, number):
            return
        setting = PORT_SETTINGS.get(int(port["target"]), "the port")
        holder = docker("ps", "--filter", f"publish={number}", "--format", "{{.Names}}").split()
        whose = f" by container {holder[0]}" if holder else ""
        where = (
            self.settings.relative_to(ROOT) if self.settings.is_relative_to(ROOT) else self.settings
        )
        raise StepError(
            f"port {number} of {address} is taken{whose}\n"
            f"  what to do: set {setting} in {where} to a free one, or stop what listens there"
        )


def is_free(address: str, port: int) -> bool:
    """Tell whether the engine could listen on that address of this host."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def docker(*args: str) -> str:
    """Return what a ``docker`` command prints.

    Raises:
        StepError: it failed.
    """
    try:
        done = subprocess.run(["docker", *args], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise StepError("there is no docker command\n  what to do: make engine") from error
    if done.returncode != 0:
        raise StepError(f"docker {args[0]}: {done.stderr.strip()}")
    return done.stdout


def has_image(name: str) -> bool:
    """Tell whether the engine has an image."""
    try:
        docker("image", "inspect", "--format", "{{.Id}}", name)
    except StepError:
        return False
    return True


def project_containers(name: str) -> list[tuple[str, str]]:
    """Return id and service of every container of a compose project, stopped ones included."""
    rows = docker(
        *("ps", "--all", "--filter", f"label={PROJECT}={name}"),
        *("--format", '{{.ID}} {{.Label "' + _SERVICE + '"}}'),
    )
    pairs = [row.split() for row in rows.splitlines()]
    return [(pair[0], pair[1]) for pair in pairs if len(pair) > 1]


def published_ports(name: str) -> set[int]:
    """Return the host ports that a project's own containers hold already."""
    rows = docker("ps", "--filter", f"label={PROJECT}={name}", "--format", "{{.Ports}}")
    return {int(port) for port in re.findall(r":(\d+)->", rows)}


def require_engine() -> None:
    """Check that an engine answers and has Compose.

    Raises:
        StepError: it does not.
    """
    try:
        docker("version", "--format", "{{.Server.Version}}")
        docker("compose", "version", "--short")
    except StepError as error:
        cause = str(error).partition("\n")[0]
        raise StepError(f"{cause}\n  what to do: make engine") from error


def prepare(federation: Federation) -> None:
    """Check all that can be checked before the first start, and end nodes beyond the number.

    Raises:
        StepError: naming what is missing or taken, and what to do.
    """
    if not federation.settings.exists():
        raise StepError(
            f"there are no settings: {federation.settings}\n"
            "  what to do: cp compose/.env.example compose/.env, or make demo"
        )
    federation.check_parts()
    federation.check_ports()
    federation.remember()
    federation.retire()


def up(federation: Federation) -> None:
    """Start the federation and wait until all of it is healthy.

    Raises:
        StepError: naming what is missing, taken or ill, and what to do.
    """
    prepare(federation)
    if (
        subprocess.run(federation.up(), cwd=COMPOSE, env=federation.env, check=False).returncode
        != 0
    ):
        ill = [c.service for c in federation.containers() if not c.is_healthy]
        raise StepError(
            f"not healthy: {', '.join(ill) or 'unknown'}\n"
            f"  what to do: cd compose && docker compose logs {ill[0] if ill else ''}"
        )


def down(federation: Federation) -> None:
    """Stop the federation; volumes stay, and with them all state."""
    command = federation.command("--profile", "*", "down", "--remove-orphans")
    if subprocess.run(command, cwd=COMPOSE, env=federation.env, check=False).returncode != 0:
        raise StepError("docker compose down failed\n  what to do: read its lines above")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=("up", "down", "prepare"))
    parser.add_argument("--env-file", type=Path, default=SETTINGS, help="default: compose/.env")
    args = parser.parse_args(argv)
    try:
        require_engine()
        {"up": up, "down": down, "prepare": prepare}[args.verb](Federation(args.env_file))
    except StepError as error:
        sys.stderr.write(f"federation.py: error: {error}\n")
        return 3
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
