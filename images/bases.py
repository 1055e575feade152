#!/usr/bin/env python3
"""Make the two base images from Debian packages, where no registry is in reach.

``make`` makes flwr-compose/base-run (a Python without shell, apt or pip) and
flwr-compose/base-build (a minimal Debian with shell, apt and venv) and hands them to the engine;
what is there already is kept.  ``list`` says what there is.  Needs Debian, root and apt; on any
other machine the public bases of images/versions.env serve, and nothing has to be made.

Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 something the tool needs is missing or does not
answer.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from images import build_root, image_archive, run_root
from scripts import debian, engine_pieces
from scripts.debian import SUITE, Mirrors, SetupError

ROOT: Final = Path(__file__).resolve().parents[1]
STATE: Final = ROOT / ".state" / "images"
VERSIONS: Final = ROOT / "images" / "versions.env"
EPOCH: Final = 1_767_225_600  # 2026-01-01: the date of every file, unless SOURCE_DATE_EPOCH is set
OLD_DAYS: Final = 30  # from then on, say that Debian may have mended something since
KEY_LABEL: Final = "flwr-compose.base.key"
MANIFEST_LABEL: Final = "flwr-compose.base.manifest"
ENV: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
Recipe = Callable[[Sequence[str], Mirrors, Path, Path, int], list[str]]


@dataclass(frozen=True)
class Base:
    """One base image: what goes in, and how it is made."""

    role: str
    recipe: Recipe
    source: Path
    env: dict[str, str]
    command: tuple[str, ...]

    @property
    def image(self) -> str:
        """The image's name and tag."""
        return f"flwr-compose/base-{self.role}:{SUITE}"

    @property
    def package_file(self) -> Path:
        """The list of packages that go in."""
        return ROOT / "images" / "base" / f"{self.role}-packages.txt"

    def tar(self, folder: Path, key: str) -> Path:
        """Where the root's tar of one key lies."""
        return folder / f"base-{self.role}-{SUITE}-{key}.tar"


BASES: Final = (
    Base(
        role="run",
        recipe=run_root.make,
        source=Path(run_root.__file__),
        env={**ENV, "LANG": "C.UTF-8", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt"},
        command=("python3",),
    ),
    Base(
        role="build",
        recipe=build_root.make,
        source=Path(build_root.__file__),
        env={**ENV, "LANG": "C.UTF-8"},
        command=("bash",),
    ),
)


def say(line: str) -> None:
    """Print one line at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def read_packages(text: str) -> list[str]:
    """Read a package list: one a line, ``#`` starts a comment."""
    names = (line.partition("#")[0].strip() for line in text.splitlines())
    return [name for name in names if name]


def cache_key(*, packages: Sequence[str], recipe: bytes, architecture: str, epoch: int) -> str:
    """Name everything that decides what a base becomes, but for Debian's own updates."""
    parts = (SUITE, architecture, str(epoch), "\n".join(sorted(packages)))
    return hashlib.sha256("\n".join(parts).encode() + b"\n" + recipe).hexdigest()[:12]


def key_of(base: Base, architecture: str, epoch: int) -> str:
    """Return the cache key of one base as it would be made now."""
    return cache_key(
        packages=read_packages(base.package_file.read_text(encoding="utf-8")),
        recipe=base.source.read_bytes() + repr((base.env, base.command)).encode(),
        architecture=architecture,
        epoch=epoch,
    )


def days_since(file: Path, now: float) -> int:
    """Count the whole days since a file was written."""
    return int((now - file.stat().st_mtime) // 86_400)


def architecture() -> str:
    """Ask dpkg for this machine's architecture; Docker uses Debian's names for those it has."""
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def check_machine() -> None:
    """Refuse, with what to do instead, where bases cannot be made.

    Raises:
        SetupError: this is not Debian, or we are not root.
    """
    if not (debian.has_apt() and debian.distribution().is_debian):
        public = "; ".join(
            line
            for line in VERSIONS.read_text(encoding="utf-8").splitlines()
            if line and not line.startswith("#")
        )
        raise SetupError(
            "bases are made on Debian only; this machine builds on the public ones",
            f"nothing: `make images` pulls {public}",
        )
    if not debian.is_root():
        raise SetupError(
            "making bases needs root (their files belong to root)",
            "run: sudo make bases; or let `make images` pull the public bases",
        )


def make_tar(base: Base, tar: Path, epoch: int) -> None:
    """Make one base's tar and its manifest; neither is seen under its name until it is whole."""
    started = time.monotonic()
    packages = read_packages(base.package_file.read_text(encoding="utf-8"))
    say(f"{base.image}: making it from {len(packages)} packages and Debian's mirrors")
    with tempfile.TemporaryDirectory(prefix="work-", dir=tar.parent) as folder:
        work = Path(folder)
        work.chmod(0o755)  # apt's own account reads in it
        unfinished = work / "root.tar"
        lines = base.recipe(packages, debian.mirrors(), work, unfinished, epoch)
        manifest = work / "manifest.txt"
        manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
        manifest.replace(tar.with_suffix(".manifest"))
        unfinished.replace(tar)
    size = tar.stat().st_size / 1e6
    say(f"{base.image}: {size:.1f} MB, {len(lines)} packages, {time.monotonic() - started:.0f} s")


def hand_over(base: Base, tar: Path, key: str, epoch: int) -> None:
    """Load one base into the engine."""
    manifest = image_archive.digest(tar.with_suffix(".manifest"))
    image = image_archive.Image(
        name=base.image,
        architecture=architecture(),
        env=base.env,
        labels={KEY_LABEL: key, MANIFEST_LABEL: f"sha256:{manifest}"},
        command=base.command,
        epoch=epoch,
    )
    image_archive.load(image, tar)


def make(bases: Sequence[Base], *, force: bool, out: Path | None) -> None:
    """Make what is missing and hand it to the engine.

    Args:
        bases: which ones.
        force: make them anew, with Debian's present packages.
        out: leave the tars in this folder instead, and the engine alone.

    Raises:
        SetupError: the machine cannot make bases, or a tool failed.
    """
    check_machine()
    if out is None and engine_pieces.server_version() is None:
        raise SetupError("no engine answers", "run: python3 scripts/engine.py up")
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
    folder = out or STATE
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "bases.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in folder.glob("work-*"):  # by a run that was killed
            shutil.rmtree(left)
        for base in bases:
            make_one(base, folder, epoch, force=force, load=out is None)


def make_one(base: Base, folder: Path, epoch: int, *, force: bool, load: bool) -> None:
    """Make one base unless it is there, load it unless the engine has it."""
    key = key_of(base, architecture(), epoch)
    tar = base.tar(folder, key)
    made = force or not tar.exists()
    if made:
        make_tar(base, tar, epoch)
        for older in folder.glob(f"base-{base.role}-*"):
            if older.stem != tar.stem:
                older.unlink()
    elif (days := days_since(tar, time.time())) > OLD_DAYS:
        say(f"{base.image}: {days} days old; --force takes Debian's updates in")
    if not load:
        return
    if made or image_archive.label(base.image, KEY_LABEL) != key:
        hand_over(base, tar, key, epoch)
        say(f"{base.image}: loaded")
    else:
        say(f"{base.image}: there already")


def show() -> None:
    """Say which bases are made and which the engine has."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", EPOCH))
    machine = architecture() if debian.has_apt() else "unknown"
    for base in BASES:
        key = key_of(base, machine, epoch)
        tar = base.tar(STATE, key)
        made = f"{tar.stat().st_size / 1e6:.1f} MB" if tar.exists() else "not made"
        loaded = image_archive.label(base.image, KEY_LABEL) if shutil.which("docker") else None
        state = {None: "not in the engine", key: "in the engine"}.get(loaded, "older in the engine")
        say(f"{base.image:<34} {made:<10} {state}  {tar.relative_to(ROOT)}")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    made = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = made.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="make what is missing, hand it to the engine")
    maker.add_argument("--force", action="store_true", help="make anew, with Debian's updates")
    maker.add_argument("--only", choices=[base.role for base in BASES], help="just this one")
    maker.add_argument("--out", type=Path, help="leave the tars here and the engine alone")
    commands.add_parser("list", help="say what is made and loaded")
    return made


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    args = parser().parse_args(argv)
    try:
        if args.command == "list":
            show()
        else:
            chosen = [base for base in BASES if args.only in {None, base.role}]
            make(chosen, force=args.force, out=args.out)
    except SetupError as error:
        sys.stderr.write(error.report())
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; give the same command again to go on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
