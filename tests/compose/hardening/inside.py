"""What a container can see of itself: a script run in every container, on the standard library."""

import hashlib
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path

_FIELDS = {"Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp"}
_CGROUPS = Path("/sys/fs/cgroup")
_LOOKS = 750  # 15 seconds: on a busy machine a health check takes seconds to begin


def processes() -> list[dict[str, str]]:
    """Return what /proc/PID/status says about every process, with its arguments.

    What the engine runs in a container, as health checks, is confined only when it is executed: it
    is looked at again until it is.
    """
    for _ in range(_LOOKS):
        found = [said for entry in Path("/proc").iterdir() if (said := _process(entry))]
        if not any(_begins(said) for said in found):
            break
        time.sleep(0.02)
    return found


def _begins(said: dict[str, str]) -> bool:
    """Return whether it is still the engine's, and not this script, whose argument is its text."""
    program = said["command"].partition(" ")[0].rpartition("/")[2]
    return said["name"].startswith("runc") or program == "runc"


def _process(entry: Path) -> dict[str, str] | None:
    """Return what is said of one process; none of what is no process, or has ended meanwhile."""
    if not entry.name.isdigit():
        return None
    try:
        lines = (entry / "status").read_text().splitlines()
        command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    said = {name: fields[name] for name in _FIELDS}
    return {**said, "pid": entry.name, "name": fields["Name"], "command": command}


def mounts() -> dict[str, list[str]]:
    """Return the options of every mount point, its own and its file system's, with the type."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, right = line.split(" - ")
        kind, _, above = right.split(" ", 2)
        found[left.split()[4]] = [kind, *left.split()[5].split(","), *above.split(",")]
    return found


def writable(folders: list[str]) -> dict[str, str]:
    """Return, for each folder, whether a file can be made there, and why not."""
    met = {}
    for folder in folders:
        target = Path(folder, "written-by-a-test")
        try:
            target.write_text("")
            target.unlink()
            met[folder] = "writable"
        except OSError as error:
            met[folder] = str(error.strerror)
    return met


def limits() -> dict[str, float | None]:
    """Return bytes, processes and processors that the kernel grants, whichever cgroup version."""
    if (_CGROUPS / "memory.max").exists():
        quota, period = _text("cpu.max").split()
        memory, pids = _text("memory.max"), _text("pids.max")
    else:
        quota, period = _text("cpu/cpu.cfs_quota_us"), _text("cpu/cpu.cfs_period_us")
        memory, pids = _text("memory/memory.limit_in_bytes"), _text("pids/pids.max")
    core = resource.getrlimit(resource.RLIMIT_CORE)
    return {
        "memory": _number(memory),
        "pids": _number(pids),
        "cpus": None if quota in {"max", "-1"} else int(quota) / int(period),
        "core": float(max(core)),
    }


def secrets() -> dict[str, str]:
    """Return the digest of every file that is mounted as a secret and can be read."""
    found = {}
    for path in Path("/run/secrets").glob("*"):
        try:
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            found[path.name] = str(error.strerror)
    return found


def _text(name: str) -> str:
    return (_CGROUPS / name).read_text().strip()


def _number(text: str) -> float | None:
    return None if text == "max" else float(text)


if __name__ == "__main__":
    facts = {
        "uid": [os.getuid(), os.getgid(), sorted(os.getgroups())],
        "processes": processes(),
        "mounts": mounts(),
        "writable": writable(sys.argv[1:]),
        "limits": limits(),
        "secrets": secrets(),
        "tools": [t for t in ("sh", "bash", "pip", "apt-get", "curl") if shutil.which(t)],
        "sockets": [p for p in ("/var/run/docker.sock", "/run/docker.sock") if Path(p).exists()],
    }
    json.dump(facts, sys.stdout)
