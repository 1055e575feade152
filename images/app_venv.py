#!/usr/bin/env python3
"""The environment that users of serverapp and clientapp install into, beside the runtime.

Runs during the build. ``/opt/venv`` belongs to the image's user and comes first on ``sys.path``;
the runtime in /opt/flwr follows, owned by root. Whatever users install there, they cannot replace
the runtime: pip takes our packages for installed, and a constraint refuses releases that it cannot
work with.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

VENV: Final = Path("opt/venv")
RUNTIME: Final = Path("opt/flwr")
_ACCOUNT: Final = "app:x:10001:10001:flwr-compose:/tmp:/usr/sbin/nologin\n"
_GROUP: Final = "app:x:10001:\n"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")
_CLAIM: Final = """Metadata-Version: 2.1
Name: flwr
Version: {version}
Summary: The public API of this release, provided by flwr-compose
Provides-Extra: simulation
"""
_CONSTRAINTS: Final = """\
# What this image's runtime works with; PIP_CONSTRAINT names this file. To leave it aside for one
# package at your own risk: RUN PIP_CONSTRAINT= pip install ...
flwr=={version}
{requirements}
"""


def make_venv(root: Path) -> Path:
    """Make the virtual environment for its place below ``/``; return its site-packages."""
    home = Path("/") / VENV
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    target = root / VENV
    shutil.copytree(home, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return target / _library() / "site-packages"


def claim_flwr(packages: Path, version: str) -> None:
    """Have pip, and apps that ask, find the release of upstream's package that we stand for."""
    folder = packages / f"flwr-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(_CLAIM.format(version=version))
    (folder / "INSTALLER").write_text("flwr-compose\n")


def add_account(root: Path, system: Path = Path("/")) -> None:
    """Give the image's user a name: libraries ask for it and fail where there is none."""
    (root / "etc").mkdir(parents=True, exist_ok=True)
    for name, line in (("passwd", _ACCOUNT), ("group", _GROUP)):
        present = (system / "etc" / name).read_text()
        (root / "etc" / name).write_text(present + line)


def is_present(requirement: str, pinned: Iterable[str]) -> bool:
    """Whether a requirement of the runtime is in this image; the commands' ones are not."""
    name = _NAME.match(requirement)
    return name is not None and normal(name.group()) in pinned


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_names(lock: str) -> set[str]:
    """Return the names of what a lock pins."""
    return {normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock, re.MULTILINE)}


def trim_metadata(text: str, pinned: Iterable[str]) -> str:
    """Drop from a METADATA what it requires and this image has not: `pip check` stays clean."""
    kept = []
    for line in text.splitlines(keepends=True):
        field, _, value = line.partition(": ")
        if field != "Requires-Dist" or is_present(value, pinned):
            kept.append(line)
    return "".join(kept)


def constraints(requires: Iterable[str], version: str) -> str:
    """Return what packages of users must agree with: what the runtime itself requires."""
    plain = sorted(line for line in requires if "extra ==" not in line)
    return _CONSTRAINTS.format(version=version, requirements="\n".join(plain))


def _library() -> str:
    return f"lib/python{sys.version_info.major}.{sys.version_info.minor}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, help="folder that becomes / in the image")
    parser.add_argument("--runtime", type=Path, required=True, help="layer with the runtime")
    parser.add_argument("--locks", nargs="+", required=True, metavar=("FOLDER", "NAME"))
    args = parser.parse_args(argv)
    ours = Path("/") / RUNTIME / _library() / "site-packages"
    runtime, target = args.runtime / ours.relative_to("/"), args.root / ours.relative_to("/")
    folder, *names = args.locks
    pinned = set().union(*(read_names(Path(folder, f"{n}.lock").read_text()) for n in names))
    sys.path.insert(0, str(runtime))
    from flwr import __version__  # noqa: PLC0415  only importable from here on

    users = make_venv(args.root)
    (users / "flwr-compose.pth").write_text(f"{ours}\n")
    add_account(args.root)
    claim_flwr(target, __version__)
    for source in runtime.glob("flwr_compose-*.dist-info/METADATA"):
        trimmed = trim_metadata(source.read_text(), pinned)
        (target / source.parent.name).mkdir()
        (target / source.parent.name / "METADATA").write_text(trimmed)
        requires = metadata.PathDistribution(target / source.parent.name).requires or []
        limits = args.root / RUNTIME / "constraints.txt"
        limits.write_text(constraints(requires, __version__))
    return 0


if __name__ == "__main__":
    sys.exit(main())
