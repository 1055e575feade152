"""The machine: container toolchain, processors, memory, disk, clock."""

import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from scripts.diagnosis.findings import Result, ask, finding, fine, skipped
from scripts.diagnosis.model import Model
from scripts.engine_pieces import MINIMUM, at_least, version_in

DISK_WANTED_MB: Final = 3000  # images of all roles and their bases take 1.2 GB, building doubles it
MEMORY_WANTED_MB: Final = 1500  # one server and two nodes with an app that learns something
BORN: Final = 1_750_000_000.0  # 2025: no clock that is right shows less
_MB: Final = 1_000_000
_INSTALL: Final = "make engine"


def engine_info() -> dict[str, Any]:
    """Return what the engine says about itself, nothing when none answers."""
    answer = ask(["docker", "info", "--format", "{{json .}}"])
    found: Any = json.loads(answer.out) if answer.is_good and answer.out.strip() else {}
    return found if isinstance(found, dict) and found.get("ServerVersion") else {}


def check_toolchain(info: dict[str, Any]) -> Iterator[Result]:
    """Engine, Compose and buildx: there, new enough, answering."""
    if shutil.which("docker") is None:
        yield finding("engine", "docker is not installed", _INSTALL)
        yield skipped("compose", "docker is not installed")
        yield skipped("buildx", "docker is not installed")
        return
    yield _engine(info)
    for name, command in (("compose", ["compose", "version"]), ("buildx", ["buildx", "version"])):
        answer = ask(["docker", *command])
        version = version_in(answer.out) if answer.is_good else None
        yield _new_enough(name, version)


def check_limits(info: dict[str, Any]) -> Iterator[Result]:
    """Whether the engine can hold containers to their limits."""
    if not info:
        yield skipped("limits", "no engine answers")
        return
    version = f"cgroup v{info.get('CgroupVersion', '?')}"
    lacking = [
        what for what in ("MemoryLimit", "PidsLimit", "CpuCfsQuota") if info.get(what) is False
    ]
    if lacking:
        yield finding(
            "limits",
            f"{version}: the engine cannot enforce {', '.join(lacking)}",
            "run the engine as root, or move the host to cgroup v2 (systemd.unified_cgroup_"
            "hierarchy=1 on the kernel's command line)",
        )
    else:
        yield fine("limits", f"{version}, memory, CPU and pids can be limited")


def check_processors(info: dict[str, Any], model: Model | None) -> Iterator[Result]:
    """No service may ask for more processors than there are: the engine refuses to start it."""
    count = int(info.get("NCPU") or os.cpu_count() or 1)
    for name, service in (model.services if model else {}).items():
        wanted = float(service.get("cpus") or 0)
        if wanted > count:
            role = re.sub(r"-\d+$", "", name).upper()
            yield finding(
                "processors",
                f"{name} is given {wanted:g} processors, this host has {count}",
                f"set FLWR_{role}_CPUS={count} in compose/.env",
            )
            return
    yield fine("processors", f"{count}")


def check_memory(meminfo: Path = Path("/proc/meminfo")) -> Iterator[Result]:
    """Memory that is available now."""
    try:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo.read_text("ascii"), re.MULTILINE)
    except OSError:
        found = None
    if found is None:
        yield skipped("memory", "this system does not say how much is available")
        return
    available = int(found[1]) * 1024 // _MB
    if available < MEMORY_WANTED_MB:
        yield finding(
            "memory",
            f"{available} MB available, {MEMORY_WANTED_MB} MB are wanted for a small federation",
            "end other programs, or run fewer nodes here (FLWR_NODES in compose/.env)",
        )
    else:
        yield fine("memory", f"{available} MB available")


def check_disk(folder: Path) -> Iterator[Result]:
    """Space where the engine keeps images and volumes."""
    if not os.access(folder, os.X_OK):
        yield skipped("disk", f"{folder} is not for this user to look at (try sudo)")
        return
    free = shutil.disk_usage(folder).free // _MB
    if free < DISK_WANTED_MB:
        yield finding(
            "disk",
            f"{free} MB free at {folder}, {DISK_WANTED_MB} MB are wanted",
            "docker system prune (asks first; removes stopped containers and unused images)",
        )
    else:
        yield fine("disk", f"{free} MB free at {folder}")


def check_clock(now: float | None = None) -> Iterator[Result]:
    """A clock that is plainly wrong; certificates' own dates are checked with the certificates."""
    if (time.time() if now is None else now) < BORN:
        yield finding(
            "clock", "shows a time before 2025", "sudo timedatectl set-ntp true, then wait a minute"
        )
    else:
        yield fine("clock", "plausible")


def _engine(info: dict[str, Any]) -> Result:
    if info:
        return _new_enough("engine", version_in(str(info["ServerVersion"])))
    answer = ask(["docker", "version", "--format", "{{.Server.Version}}"])
    if "permission denied" in answer.err.lower():
        return finding(
            "engine",
            "it runs, and this user may not talk to it",
            "sudo usermod -aG docker $USER, then log in again",
        )
    if shutil.which("dockerd") is None and not os.environ.get("DOCKER_HOST"):
        return finding("engine", "only the client is installed", _INSTALL)
    return finding("engine", f"none answers: {answer.last_line()}", "scripts/engine.py up")


def _new_enough(name: str, version: str | None) -> Result:
    wanted = ".".join(map(str, MINIMUM[name]))
    if version is None:
        return finding(name, "it is not installed", _INSTALL)
    if not at_least(version, MINIMUM[name]):
        return finding(name, f"{version} is older than {wanted}", _INSTALL)
    return fine(name, version)
