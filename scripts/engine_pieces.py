"""Which pieces of the container toolchain a machine has, which it lacks, and how to install them.

Presence is asked of the programs, not of the package database: a client from elsewhere counts when
it finds its plugins and is new enough, and a package that is half installed does not.
"""

import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scripts.debian import (
    OLDEST_VERSION,
    SUITE,
    Distribution,
    SetupError,
    mirrors,
    run_apt,
    source_lines,
)

MINIMUM: Final[Mapping[str, tuple[int, ...]]] = {
    "engine": (25,),  # healthcheck.start_interval
    "compose": (2, 24),  # !override and !reset, optional env_file
    "buildx": (0, 12),  # bake with named contexts
}
SOURCES: Final = Path(f"/etc/apt/sources.list.d/flwr-compose-{SUITE}.list")
PINS: Final = Path(f"/etc/apt/preferences.d/flwr-compose-{SUITE}")
NEWER_KEYS: Final = Path(f"/usr/share/keyrings/debian-archive-{SUITE}-stable.gpg")
DEBIAN: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("docker-cli",),
    "engine": ("docker.io", "containerd"),
    "compose": ("docker-compose",),
    "buildx": ("docker-buildx",),
    "init": ("tini",),  # `init: true` in a compose file runs it as docker-init
    "iptables": ("iptables",),
    "mmdebstrap": ("mmdebstrap",),
}
UBUNTU: Final[Mapping[str, tuple[str, ...]]] = {
    **DEBIAN,
    "client": ("docker.io",),
    "engine": ("docker.io",),
    "compose": ("docker-compose-v2",),
}
FROM_NEXT_SUITE: Final = frozenset({"client", "engine", "compose", "buildx"})
COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("docker", "--version"),
    "compose": ("docker", "compose", "version", "--short"),
    "buildx": ("docker", "buildx", "version"),
    "init": ("docker-init", "--version"),
    "iptables": ("iptables", "--version"),
    "mmdebstrap": ("mmdebstrap", "--version"),
}
_VERSION: Final = re.compile(r"(\d+(?:\.\d+)+)")


@dataclass(frozen=True)
class Pieces:
    """Versions of what is there; a piece that is absent has no entry."""

    versions: Mapping[str, str]
    running: bool
    local: bool  # an engine program is installed here; else one elsewhere may answer

    def lacking(self, *, with_bases: bool) -> tuple[str, ...]:
        """Name what to install; an engine that answers from elsewhere needs only its client here.

        Args:
            with_bases: whether the base images are to be made here too.
        """
        wanted = ["client", "engine", "compose", "buildx"]
        if self.local or not self.running:
            wanted += ["init", "iptables"]
        if with_bases:
            wanted.append("mmdebstrap")
        return tuple(piece for piece in wanted if not self._new_enough(piece))

    def _new_enough(self, piece: str) -> bool:
        found = self.versions.get(piece)
        return found is not None and at_least(found, MINIMUM.get(piece, ()))


def version_in(output: str) -> str | None:
    """Find the first dotted version number in what a program prints about itself."""
    found = _VERSION.search(output)
    return found.group(1) if found else None


def at_least(version: str, minimum: tuple[int, ...]) -> bool:
    """Compare dotted numbers, number by number."""
    return tuple(int(part) for part in version.split(".")) >= minimum


def printed_by(*command: str) -> str | None:
    """Return what a program prints, or None when it is absent or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def server_version() -> str | None:
    """Ask the engine for its version; None when none answers."""
    answer = printed_by("docker", "version", "--format", "{{.Server.Version}}")
    return answer.strip() if answer else None


def look() -> Pieces:
    """Ask every program of the toolchain for its version."""
    versions: dict[str, str] = {}
    for piece, command in COMMANDS.items():
        version = version_in(printed_by(*command) or "")
        if version:
            versions[piece] = version
    answering = server_version()
    version = version_in(answering or printed_by("dockerd", "--version") or "")
    if version:
        versions["engine"] = version
    local = shutil.which("dockerd") is not None
    return Pieces(versions, running=answering is not None, local=local)


def packages(distro: Distribution, pieces: tuple[str, ...]) -> list[str]:
    """Translate missing pieces into package names, with the suite where it is not the own one."""
    table = UBUNTU if distro.name == "ubuntu" else DEBIAN
    names: list[str] = []
    for piece in pieces:
        newer = distro.needs_next_suite and piece in FROM_NEXT_SUITE
        names += [f"{name}/{SUITE}" if newer else name for name in table[piece]]
    return list(dict.fromkeys(names))


def check_supported(distro: Distribution, *, apt: bool, root: bool, lacking: str) -> None:
    """Refuse, with what to do instead, where we cannot install packages.

    Raises:
        SetupError: the system is not Debian 12 or newer nor Ubuntu, or we are not root.
    """
    minimum = "Docker Engine 25, Compose 2.24 and buildx 0.12 or newer"
    if not apt or distro.name not in {"debian", "ubuntu"}:
        raise SetupError(
            f"{lacking} missing, and this is not Debian or Ubuntu ({distro.name})",
            f"install {minimum} as your system's vendor describes, start it, run this again",
        )
    if distro.is_debian and distro.version is not None and distro.version < OLDEST_VERSION:
        raise SetupError(
            f"{lacking} missing, and Debian {distro.version} is too old to install from {SUITE}",
            f"upgrade to Debian {OLDEST_VERSION} or newer, or install {minimum} yourself",
        )
    if not root:
        raise SetupError(
            f"{lacking} missing, and installing packages needs root",
            "run: sudo python3 scripts/engine.py install",
        )


def add_next_suite() -> None:
    """Let apt see the next suite without taking anything from it unasked (priority 100)."""
    SOURCES.write_text(
        "# Docker Engine, Compose and buildx; remove this file to forget the suite.\n"
        + source_lines(mirrors(), SUITE),
        encoding="utf-8",
    )
    PINS.write_text(
        "# Nothing comes from the next suite unless a package is asked from it by name.\n"
        f"Package: *\nPin: release n={SUITE}*\nPin-Priority: 100\n",
        encoding="utf-8",
    )


def install(distro: Distribution, pieces: tuple[str, ...], say: Callable[[str], None]) -> None:
    """Install the missing pieces; mends an installation that was interrupted.

    Raises:
        SetupError: apt failed, or the machine's docker belongs to another vendor.
    """
    refuse_other_vendor(pieces)
    run_apt(["dpkg", "--configure", "-a"])
    if distro.needs_next_suite and FROM_NEXT_SUITE & set(pieces):
        if not NEWER_KEYS.exists():
            run_apt(["apt-get", "-qq", "update"])
            run_apt(["apt-get", "-qqy", "install", "debian-archive-keyring"])
        add_next_suite()
    run_apt(["apt-get", "-qq", "update"])
    names = packages(distro, pieces)
    say(f"installing {' '.join(names)}")
    run_apt(["apt-get", "-qqy", "--no-install-recommends", "--fix-broken", "install", *names])


def refuse_other_vendor(pieces: tuple[str, ...]) -> None:
    """Leave a Docker that came from its own vendor's packages to that vendor's upgrade.

    Raises:
        SetupError: the engine is too old, and it is not the distribution's.
    """
    if "engine" in pieces and shutil.which("dpkg-query"):
        owner = printed_by("dpkg-query", "--show", "--showformat=${db:Status-Status}", "docker-ce")
        if owner == "installed":
            raise SetupError(
                "docker-ce is installed and older than Engine 25",
                "run: apt-get install --only-upgrade docker-ce docker-ce-cli containerd.io",
            )
