#!/usr/bin/env python3
"""Install, start and stop Docker Engine on a machine with or without an init system.

``install`` adds what is missing of Docker Engine, its command line, Compose, buildx, iptables and
mmdebstrap (Debian 12 or newer, Ubuntu; as root).  ``up`` starts the engine unless one answers,
``down`` stops the engine that ``up`` started and no other, ``status`` says what there is.  Every
command may be interrupted and given again.

Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 something the tool needs is missing or does not
answer (``status``: no engine answers).
"""

import argparse
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import engine_pieces as pieces
from scripts.debian import SetupError, distribution, has_apt, is_root

RUN: Final = Path("/run/flwr-compose")
PIDFILE: Final = RUN / "dockerd.pid"  # ours alone: an engine named here was started by `up`
USUAL_PIDFILE: Final = Path("/var/run/docker.pid")
CONTAINERD_PIDFILE: Final = Path("/var/run/docker/containerd/containerd.pid")
LOG: Final = Path("/var/log/flwr-compose-dockerd.log")
LOG_LIMIT: Final = 16 * 1024 * 1024  # bytes; a longer log is put aside at the next start
DAEMON_CONFIG: Final = Path("/etc/docker/daemon.json")
# The engine's own address pools end after 31 networks; a site of 16 nodes alone uses 17.
ADDRESS_POOL: Final = "base=172.17.0.0/16,size=24"
CGROUPS: Final = Path("/sys/fs/cgroup")
READY_S: Final = 60.0
STOP_S: Final = 30.0  # the engine gives its containers 15 s of these
POLL_S: Final = 0.1
DEAD: Final = ("Z", "X")  # process states; PID 1 may not reap, so a dead engine can stay listed


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    print(line, flush=True)


def parse_stat(stat: str) -> tuple[str, str]:
    """Return program and state letter out of a /proc stat line; a program may contain brackets."""
    program = stat[stat.index("(") + 1 : stat.rindex(")")]
    return program, stat[stat.rindex(")") + 2 :][:1]


def live_process(pidfile: Path, program: str, proc: Path = Path("/proc")) -> int | None:
    """Return the pid of the live program a pid file names; None when the file is stale.

    A file left by a crash or a restored machine image may name nobody, a zombie or another program.
    """
    try:
        pid = int(pidfile.read_text(encoding="ascii"))
        name, state = parse_stat((proc / str(pid) / "stat").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return pid if name == program and state not in DEAD else None


def live_engine(pidfile: Path) -> int | None:
    """Return the pid of the live dockerd a pid file names."""
    return live_process(pidfile, "dockerd")


def remove_stale_pidfiles() -> None:
    """Remove what would make a new engine, or its containerd, believe that it runs already."""
    for pidfile, program in (
        (PIDFILE, "dockerd"),
        (USUAL_PIDFILE, "dockerd"),
        (CONTAINERD_PIDFILE, "containerd"),
    ):
        if live_process(pidfile, program) is None:
            pidfile.unlink(missing_ok=True)


def is_mounted(mounts: str, folder: Path) -> bool:
    """Whether something is mounted at a folder or below it."""
    targets = [line.split(" ")[1] for line in mounts.splitlines() if line.count(" ") > 1]
    return any(target == str(folder) or target.startswith(f"{folder}/") for target in targets)


def mount_cgroups() -> None:
    """Mount the cgroup hierarchy where nothing has; the engine needs it for limits."""
    if is_mounted(Path("/proc/mounts").read_text(encoding="utf-8"), CGROUPS):
        return
    say(f"mounting cgroups at {CGROUPS}")
    done = subprocess.run(
        ["mount", "-t", "cgroup2", "none", str(CGROUPS)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SetupError(
            f"cannot mount cgroups: {done.stderr.strip()}",
            "on a machine without an init system this needs root and a kernel with cgroup2",
        )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one start or stop at a time happen; a second one waits for the first."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    with (RUN / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install() -> None:
    """Install what is missing, then check that the client finds its plugins.

    Raises:
        SetupError: this machine cannot install packages, or a piece is still missing afterwards.
    """
    distro = distribution()
    can_make_bases = has_apt() and is_root() and distro.is_debian
    lacking = pieces.look().lacking(with_bases=can_make_bases)
    if not lacking:
        say("nothing to install")
        return
    pieces.check_supported(distro, apt=has_apt(), root=is_root(), lacking=", ".join(lacking))
    started = time.monotonic()
    pieces.install(distro, lacking, say)
    found = pieces.look()
    still = found.lacking(with_bases=can_make_bases)
    if still == ("engine",) and found.running:
        raise SetupError(
            f"the running engine is still the old one ({found.versions.get('engine')})",
            "stop it, then run: python3 scripts/engine.py up",
        )
    if still:
        raise SetupError(
            f"installed, but not usable or too old: {', '.join(still)}",
            f"compare `docker version`, `docker compose version`, `docker buildx version` with"
            f" {shutil.which('docker')}; a client elsewhere on PATH may hide the packaged one",
        )
    say(f"installed {', '.join(lacking)} in {time.monotonic() - started:.1f} s")


def up() -> None:
    """Start the engine unless one answers, and wait until it does.

    Raises:
        SetupError: there is no engine to start, it did not answer in time, or it is too old.
    """
    if version := pieces.server_version():
        check_minimum(version)
        say(f"engine {version} is up")
        return
    if shutil.which("dockerd") is None:
        raise SetupError(
            "no engine answers and none is installed here",
            "run: python3 scripts/engine.py install (or start Docker Desktop)",
        )
    if not is_root():
        raise SetupError(
            "no engine answers, and starting one needs root",
            "run: sudo python3 scripts/engine.py up; if one runs, join the group docker",
        )
    started = time.monotonic()
    with alone():
        if pieces.server_version() is None:
            start()
    version = pieces.server_version() or "unknown"
    check_minimum(version)
    say(f"engine {version} is up after {time.monotonic() - started:.1f} s")


def check_minimum(version: str) -> None:
    """Refuse an engine that is too old for the compose files.

    Raises:
        SetupError: it is.
    """
    wanted = pieces.MINIMUM["engine"]
    if not pieces.at_least(pieces.version_in(version) or "0", wanted):
        raise SetupError(
            f"engine {version} answers, but Engine {wanted[0]} or newer is needed",
            "stop it, then run: python3 scripts/engine.py install",
        )


def start() -> None:
    """Start the engine by the init system where there is one, else by ourselves.

    Raises:
        SetupError: it does not start, or one is there that this client does not reach.
    """
    if Path("/run/systemd/system").is_dir():
        done = subprocess.run(["systemctl", "start", "docker"], check=False)
        if done.returncode != 0:
            raise SetupError("systemd could not start docker", "read: journalctl -u docker -n 50")
        await_ready(None)
        return
    if stranger := live_engine(USUAL_PIDFILE):
        raise SetupError(
            f"an engine runs (pid {stranger}) but does not answer this client",
            "check DOCKER_HOST and `docker context ls`, or stop that engine first",
        )
    remove_stale_pidfiles()
    mount_cgroups()
    starting = live_engine(PIDFILE)  # left by an interrupted `up`
    await_ready(None if starting else spawn())


def spawn() -> subprocess.Popen[bytes]:
    """Start dockerd in a session of its own, so that no terminal takes it along."""
    if LOG.exists() and LOG.stat().st_size > LOG_LIMIT:
        LOG.replace(LOG.with_suffix(".log.1"))
    command = ["dockerd", "--pidfile", str(PIDFILE)]
    if not DAEMON_CONFIG.exists():
        command += ["--default-address-pool", ADDRESS_POOL]
    with LOG.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd="/",
        )


def await_ready(engine: subprocess.Popen[bytes] | None) -> None:
    """Wait until the engine answers.

    Args:
        engine: the process to watch, when we started it just now.

    Raises:
        SetupError: it ended, or it did not answer within ``READY_S``.
    """
    deadline = time.monotonic() + READY_S
    while pieces.server_version() is None:
        ended = engine is not None and engine.poll() is not None
        if ended or time.monotonic() > deadline:
            what = "ended at once" if ended else f"did not answer within {READY_S:.0f} s"
            raise SetupError(
                f"dockerd {what}; its last lines:\n{tail(LOG)}",
                f"read {LOG}, or `journalctl -u docker` where systemd started it",
            )
        time.sleep(POLL_S)


def tail(log: Path, lines: int = 15) -> str:
    """Return the end of a log; empty when there is none."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def down() -> None:
    """Stop the engine that ``up`` started, its containers first; leave any other alone."""
    if not PIDFILE.exists():
        other = pieces.server_version() is not None
        say("left alone: `up` did not start this engine" if other else "no engine to stop")
        return
    if not is_root():
        raise SetupError("stopping needs root", "run: sudo python3 scripts/engine.py down")
    with alone():
        started = time.monotonic()
        pid = live_engine(PIDFILE)
        if pid is not None:
            stop(pid)
            say(f"engine stopped after {time.monotonic() - started:.1f} s")
        PIDFILE.unlink(missing_ok=True)


def stop(pid: int) -> None:
    """Ask a process to end; end it when it has not within ``STOP_S``."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_S
        while is_alive(pid):
            if time.monotonic() > deadline:
                say(f"engine did not stop within {STOP_S:.0f} s and is killed")
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(POLL_S)


def is_alive(pid: int, proc: Path = Path("/proc")) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return parse_stat((proc / str(pid) / "stat").read_text(encoding="utf-8"))[1] not in DEAD
    except (OSError, ValueError):
        return False


def status() -> dict[str, object]:
    """Gather what is installed and what runs."""
    found = pieces.look()
    told = pieces.printed_by("docker", "info", "--format", "{{json .}}") if found.running else None
    info: dict[str, object] = json.loads(told) if told else {}
    root = info.get("DockerRootDir")
    try:
        free = shutil.disk_usage(str(root)).free // 1_000_000 if root else None
    except OSError:  # the engine runs on another machine
        free = None
    return {
        "running": found.running,
        "started_by_up": live_engine(PIDFILE) is not None,
        "versions": dict(found.versions),
        "too_old_or_missing": list(found.lacking(with_bases=False)),
        "cgroup_version": info.get("CgroupVersion"),
        "data_root": root,
        "disk_free_mb": free,
        "log": str(LOG) if LOG.exists() else None,
    }


def show(found: dict[str, object]) -> None:
    """Print a status for people."""
    for name, value in found.items():
        if isinstance(value, dict):
            value = ", ".join(f"{piece} {version}" for piece, version in value.items())  # noqa: PLW2901
        elif isinstance(value, list):
            value = ", ".join(value) or "nothing"  # noqa: PLW2901
        say(f"{name.replace('_', ' '):<20} {'unknown' if value is None else value}")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    made = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)
    for name, does in {
        "install": "install what is missing",
        "up": "start the engine unless one answers",
        "down": "stop the engine that `up` started, its containers first",
    }.items():
        commands.add_parser(name, help=does, description=does)
    does = "say what is installed and what runs"
    shown = commands.add_parser("status", help=does, description=does)
    shown.add_argument("--format", choices=("text", "json"), default="text")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    args = parser().parse_args(argv)
    try:
        if args.command == "status":
            found = status()
            if args.format == "json":
                say(json.dumps(found, indent=2))
            else:
                show(found)
            return 0 if found["running"] else 3
        {"install": install, "up": up, "down": down}[args.command]()
    except SetupError as error:
        sys.stderr.write(error.report())
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; give the same command again to go on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
