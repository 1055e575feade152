#!/usr/bin/env python3
"""One layer of an image: installs packages below a folder, then takes away what no program loads.

Runs during the build, in the Python of the base (images/Dockerfile). What it makes is the same byte
by byte each time: sorted, dated SOURCE_DATE_EPOCH, with byte code that does not depend on dates.
It never touches the network.
"""

import argparse
import compileall
import os
import py_compile
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PREFIX: Final = Path("opt/flwr")
_LAUNCHER: Final = """#!{python}
import sys

from {module} import {function}

sys.exit({function}())
"""
# Needed to build or check packages, never to run them. Licences stay.
_UNUSED: Final = (
    *("**/tests", "**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.pxi", "**/*.h", "**/*.c", "**/*.a"),
    *("*.dist-info/RECORD", "*.dist-info/WHEEL", "*.dist-info/REQUESTED", "*.dist-info/INSTALLER"),
    *("*.dist-info/direct_url.json", "*.dist-info/top_level.txt"),
    *("alembic/testing", "alembic/templates", "sqlalchemy/testing", "Crypto/SelfTest"),
    *("ray/jars", "ray/dashboard/client", "ray/rllib", "ray/cpp", "jsonschema/benchmarks"),
    *("sqlalchemy/dialects/mssql", "sqlalchemy/dialects/mysql", "sqlalchemy/dialects/oracle"),
)
# Apps use all of it, and extensions are built against it: only its tests go.
_WHOLE: Final = "numpy"


def install(pip: Sequence[str], root: Path, what: Sequence[str]) -> Path:
    """Install packages below ``root``; return the folder that goes on ``sys.path``.

    Args:
        pip: command of a pip.
        root: what becomes ``/`` in the image.
        what: further options and requirements of ``pip install``.
    """
    options = ["--no-index", "--no-deps", "--no-compile", "--no-warn-script-location", "--quiet"]
    prefix = root / PREFIX
    subprocess.run([*pip, "install", *options, f"--prefix={prefix}", *what], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return prefix / "lib" / version / "site-packages"


def prune(packages: Path) -> None:
    """Delete what no program loads."""
    for pattern in _UNUSED:
        for path in sorted(packages.glob(pattern)):
            is_whole = path.relative_to(packages).parts[0] == _WHOLE
            if not is_whole or path.name == "tests":
                _remove(path)
    for folder in sorted(packages.rglob("*"), reverse=True):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def gather_vendored(packages: Path) -> None:
    """Put what packages say of packages inside them, licences above all, into folders of its own.

    Left beside those packages it could be packed in two orders, see ``separate``.
    """
    for path in sorted(packages.glob("*/**/*.dist-info")):
        target = path.parent / "vendored" / path.name
        target.parent.mkdir(exist_ok=True)
        path.rename(target)


def strip(packages: Path) -> None:
    """Drop the symbols of compiled modules that only a debugger reads."""
    for library in sorted(packages.rglob("*.so*")):
        # auditwheel has patched what lies in NAME.libs; strip would break it
        is_patched = any(part.endswith(".libs") for part in library.parts)
        if library.is_file() and not is_patched:
            subprocess.run(["strip", "--strip-unneeded", str(library)], check=True)


def compile_tree(root: Path, folder: Path) -> None:
    """Write byte code that is never checked against its source: the image is read-only.

    Raises:
        SystemExit: a file does not compile.
    """
    is_done = compileall.compile_dir(
        folder,
        maxlevels=50,
        quiet=1,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not is_done:
        raise SystemExit(f"layer: error: {folder} holds a file that does not compile")


def write_commands(folder: Path, python: str, scripts: Mapping[str, str]) -> None:
    """Write commands that name the interpreter of the image they are for.

    Args:
        folder: where they go.
        python: path of that interpreter.
        scripts: ``module:function`` by name, as in ``[project.scripts]``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, place in sorted(scripts.items()):
        module, _, function = place.partition(":")
        command = folder / name
        command.write_text(_LAUNCHER.format(python=python, module=module, function=function))
        command.chmod(0o755)


def read_scripts(pyproject: Path, wanted: Sequence[str]) -> dict[str, str]:
    """Return the wanted commands of a project.

    Raises:
        SystemExit: it has no such command.
    """
    scripts = tomllib.loads(pyproject.read_text())["project"]["scripts"]
    if unknown := sorted(set(wanted) - set(scripts)):
        raise SystemExit(f"layer: error: {pyproject} has no command {', '.join(unknown)}")
    return {name: scripts[name] for name in wanted}


def separate(root: Path, beside: Path) -> None:
    """Move what could be packed in two orders from ``root`` to ``beside``, for a layer of its own.

    Engines pack a layer either folder by folder or sorted by whole paths, as it happens. The two
    differ for ``numpy/...`` and ``numpy-2.dist-info/...`` side by side, because "-" sorts before
    "/"; an image would get another id by chance.
    """
    for path in sorted(root.rglob("*"), key=lambda path: path.parts):
        if path.exists() and _sorts_in_two_ways(path):
            target = beside / path.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)


def check_order(root: Path) -> None:
    """Make sure that ``root`` is packed in one order only.

    Raises:
        SystemExit: it is not.
    """
    for path in sorted(root.rglob("*")):
        if _sorts_in_two_ways(path):
            raise SystemExit(f"layer: error: {path} may be packed in two orders; see separate()")


def _sorts_in_two_ways(path: Path) -> bool:
    name = path.name
    ends = (index for index, letter in enumerate(name) if index and letter < "/")
    return any((path.parent / name[:end]).is_dir() for end in ends)


def date_tree(root: Path, epoch: int) -> None:
    """Give everything below ``root``, and itself, the same date and plain permissions."""
    for path in (*sorted(root.rglob("*")), root):
        if not path.is_symlink():
            is_program = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (epoch, epoch), follow_symlinks=False)


def give_away(folder: Path, owner: int) -> None:
    """Make ``folder`` and everything below it belong to the user and group ``owner``."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, owner, owner, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, help="folder that becomes / in the image")
    parser.add_argument("--beside", type=Path, help="the same, for a second layer")
    parser.add_argument("--pip", default="pip", help="the pip to install with")
    parser.add_argument("--lock", type=Path, help="install what this lock names")
    parser.add_argument("--wheel", type=Path, action="append", default=[], help="install this")
    parser.add_argument("--folder", type=Path, help="make this folder below root")
    parser.add_argument("--commands", type=Path, help="folder below root for our commands")
    parser.add_argument("--scripts", type=Path, help="the pyproject.toml that defines them")
    parser.add_argument("--command", action="append", default=[], help="write this one")
    parser.add_argument("--python", default="/usr/bin/python3", help="what those are run by")
    parser.add_argument("--owner", type=int, default=0, help="user and group of --owned")
    parser.add_argument("--owned", type=Path, help="folder below root that is the owner's")
    parser.add_argument(
        "--mode", type=lambda text: int(text, 8), default="755", help="its permissions"
    )
    parser.add_argument("--epoch", type=int, default=0, help="date of every file, in seconds")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    args = _parser().parse_args(argv)
    what = [f"--requirement={args.lock}", "--require-hashes"] if args.lock else []
    what += [str(wheel) for wheel in args.wheel]
    if what:
        packages = install([args.pip], args.root, what)
        shutil.rmtree(args.root / PREFIX / "bin", ignore_errors=True)  # of others, or written here
        prune(packages)
        gather_vendored(packages)
        strip(packages)
        compile_tree(args.root, packages)
    if args.folder:
        (args.root / args.folder).mkdir(parents=True)
    if args.commands:
        scripts = read_scripts(args.scripts, args.command)
        write_commands(args.root / args.commands, args.python, scripts)
    roots = [args.root]
    if args.beside:
        args.beside.mkdir()
        separate(args.root, args.beside)
        roots.append(args.beside)
    for root in roots:
        check_order(root)
        date_tree(root, args.epoch)
        if args.owned and (root / args.owned).exists():
            give_away(root / args.owned, args.owner)
            (root / args.owned).chmod(args.mode)
    return 0


if __name__ == "__main__":
    sys.exit(main())
