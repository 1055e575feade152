"""What this machine's Debian tells us: its suite, its mirrors, and how to ask apt for packages.

Standard library only: it runs before ``make setup``.  Mirrors come from the machine's own apt at
run time and are never written into the repository or into an image.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

OS_RELEASE: Final = Path("/etc/os-release")
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITE: Final = "trixie"  # Engine, Compose and both bases come from it
SUITE_VERSION: Final = 13
OLDEST_VERSION: Final = 12  # its C library (2.36) runs the engine of SUITE
LOCK_WAIT_S: Final = 300.0  # an unattended upgrade takes minutes
LOCK_RETRY_S: Final = 2.0
LOCKED: Final = (  # as apt, its lists and dpkg say it
    "Could not get lock",
    "Unable to lock",
    "lock was locked by another process",
)


class SetupError(Exception):
    """The machine lacks something, or a tool failed; ``remedy`` is what to type next."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy

    def report(self) -> str:
        """Say cause and remedy, as every tool here prints them."""
        return f"error: {self}\n  next: {self.remedy}\n"


@dataclass(frozen=True)
class Distribution:
    """The operating system, as its os-release file names it."""

    name: str
    version: int | None  # None: a rolling suite
    codename: str

    @property
    def is_debian(self) -> bool:
        """Whether this is Debian itself, whose archive the bases come from."""
        return self.name == "debian"

    @property
    def needs_next_suite(self) -> bool:
        """Whether the engine has to come from a newer suite than the machine's own."""
        return self.is_debian and self.version is not None and self.version < SUITE_VERSION


@dataclass(frozen=True)
class Mirrors:
    """Where this machine gets Debian packages from."""

    archive: str
    security: str | None


def parse_os_release(text: str) -> Distribution:
    """Read the shell-like assignments of an os-release file."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, found, value = line.partition("=")
        if found:
            fields[key.strip()] = value.strip().strip("\"'")
    major = fields.get("VERSION_ID", "").split(".")[0]
    return Distribution(
        name=fields.get("ID", "unknown"),
        version=int(major) if major.isdigit() else None,
        codename=fields.get("VERSION_CODENAME", ""),
    )


def distribution() -> Distribution:
    """Say what this machine runs; an unknown system when it does not say."""
    try:
        return parse_os_release(OS_RELEASE.read_text(encoding="utf-8"))
    except OSError:
        return Distribution("unknown", None, "")


def has_apt() -> bool:
    """Whether packages can be asked for here at all."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg-deb") is not None


def is_root() -> bool:
    """Whether we may install packages and write files owned by others."""
    return os.geteuid() == 0


def parse_mirrors(targets: str, codename: str) -> Mirrors:
    """Choose the mirrors out of ``REPO_URI SUITE`` lines.

    Only repositories of the machine's own suite count: third parties carry other packages.
    """
    found: dict[str, str] = {}
    for line in targets.splitlines():
        uri, _, suite = line.strip().partition(" ")
        found.setdefault(suite, uri)
    archive = found.get(codename)
    if archive is None:
        raise SetupError(
            f"apt on this machine has no source for its own suite ({codename or 'unnamed'})",
            "add it to /etc/apt/sources.list.d, run: apt-get update",
        )
    return Mirrors(archive, found.get(f"{codename}-security"))


def mirrors() -> Mirrors:
    """Ask apt where this machine gets its packages from.

    Apt tells only of indexes it has; a slim machine has thrown them away, so they are fetched then.

    Raises:
        SetupError: apt knows no source for the machine's own suite.
    """
    codename = distribution().codename
    try:
        return parse_mirrors(index_targets(), codename)
    except SetupError:
        if not is_root():
            raise
    run_apt(["apt-get", "-qq", "update"])
    return parse_mirrors(index_targets(), codename)


def index_targets() -> str:
    """List the package indexes that apt has, as ``REPO_URI SUITE`` lines."""
    columns = "$(REPO_URI) $(RELEASE)"
    command = ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def source_lines(where: Mirrors, suite: str) -> str:
    """Write the one-line source entries of a suite, signed by Debian's archive keys only."""
    signed = f"deb [signed-by={KEYRING}]"
    lines = [f"{signed} {where.archive} {suite} main"]
    if where.security:
        lines.append(f"{signed} {where.security} {suite}-security main")
    return "\n".join(lines) + "\n"


def is_locked(output: str) -> bool:
    """Whether apt gave up because another package manager is at work."""
    return any(sign in output for sign in LOCKED)


def run_apt(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run apt or dpkg without questions; wait while another package manager holds the locks.

    Raises:
        SetupError: it failed, or the locks stayed taken for ``LOCK_WAIT_S``.
    """
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", **(env or {})}
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        done = subprocess.run(
            command,
            env=quiet,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return
        if not is_locked(done.stdout) or time.monotonic() > deadline:
            break
        time.sleep(LOCK_RETRY_S)
    tail = "\n".join(done.stdout.strip().splitlines()[-12:])
    raise SetupError(
        f"{' '.join(command[:3])} exited with {done.returncode}:\n{tail}",
        "mend what it says (network, disk space, another package manager), then run this again",
    )
