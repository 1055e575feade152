#!/usr/bin/env python3
"""The part of the postgres image that comes from Debian packages; runs during the build.

Packages are unpacked, not configured: what their scripts set up (clusters of the whole machine, a
service, an account) images/postgres/entrypoint.py does for one database.  Each is noted where tools
look that list what is in an image.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PROGRAMS: Final = ("usr/bin/*", "usr/lib/postgresql/17/bin/*", "usr/lib/postgresql/17/lib/*.so")
_NEEDED: Final = re.compile(r"\(NEEDED\).*\[(.+)\]")
_UNUSED: Final = (
    "etc",
    "usr/sbin",
    "lib/systemd",
    "usr/bin/[!ds]*",
    "usr/include",
    "usr/lib/postgresql/17/lib/bitcode",
    "usr/lib/postgresql/17/lib/llvmjit*",
    "usr/lib/postgresql/17/lib/pgxs",
    "usr/lib/systemd",
    "usr/lib/tmpfiles.d",
    "usr/share/[!dpz]*",
    "usr/share/doc/*/[!c]*",
    "usr/share/doc/*/changelog*",
    "usr/share/doc-base",
    "usr/share/postgresql/17/man",
    "var",
)


def unpack(debs: Sequence[Path], root: Path) -> None:
    """Unpack packages and note each of them below ``root``."""
    root.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        subprocess.run(["dpkg-deb", "--extract", str(deb), str(root)], check=True)
    for pattern in _UNUSED:
        for path in sorted(root.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    notes = root / "var" / "lib" / "dpkg" / "status.d"
    notes.mkdir(parents=True)
    for deb in debs:
        fields = _printed(["dpkg-deb", "--field", str(deb)])
        name = _printed(["dpkg-deb", "--field", str(deb), "Package"]).strip()
        (notes / name).write_text(fields)


def missing_libraries(root: Path, base: Path) -> list[str]:
    """Return what the programs below ``root`` link to and neither it nor the base image has.

    Libraries that came along and that nothing links to are deleted.
    """
    here = {path.name: path for path in sorted(root.glob("usr/lib/*-linux-gnu/*.so*"))}
    there = {path.name for path in base.glob("*-linux-gnu/*.so*")}
    waiting = [path for folder in PROGRAMS for path in sorted(root.glob(folder))]
    reached: set[str] = set()
    missing: list[str] = []
    while waiting:
        user = waiting.pop()
        for name in _NEEDED.findall(_printed(["readelf", "--dynamic", str(user)])):
            if name in here and name not in reached:
                reached.add(name)
                waiting.append(here[name])
            elif name not in here and name not in there:
                missing.append(f"{user.name} needs {name}")
    kept = {here[name].resolve() for name in reached}
    for name, path in here.items():
        if name not in reached and path.absolute() not in kept:
            path.unlink()
    return missing


def _printed(command: Sequence[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def main(argv: Sequence[str]) -> int:
    """Run the command line: ROOT, the base image's /usr/lib, DEB..."""
    root, base, *debs = map(Path, argv)
    unpack(sorted(debs), root)
    missing = missing_libraries(root, base)
    for line in missing:
        print(f"root: error: {line}: name its package in images/postgres/packages.txt")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
