#!/usr/bin/env python3
"""The Python packages of the images: which (locks with hashes), and where they lie (wheelhouse).

``lock`` resolves requirements/*.in for the Python of the images into requirements/*.lock, keeping
to constraints.txt; maintainers run it.  ``fetch`` downloads what the locks name into
.state/images/wheelhouse, with the pip of this machine and thus its index, proxy and certificates;
image builds then need no network.  No lock ever names an index.

Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 something the tool needs is missing or does not
answer.
"""

import argparse
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.debian import SetupError

ROOT: Final = Path(__file__).resolve().parents[1]
REQUIREMENTS: Final = ROOT / "images" / "requirements"
WHEELHOUSE: Final = ROOT / ".state" / "images" / "wheelhouse"
PYTHON: Final = "3.13"  # of the bases, see images/bases.py
# Layers below those of the other sets, which leave out what these have: of two layers of an
# image with the same file, the builder keeps now one and now both, and the id of the image changes.
EVERYWHERE: Final = ("crypto", "wire")
# Of an image that is built on request only, as Ray is large: a layer on top of others.
SIMULATION: Final = ROOT / "images" / "simulation" / "simulation.in"
_BELOW_SIMULATION: Final = ("app", "postgres", "state")
_OLDEST_GLIBC, _NEWEST_GLIBC = 17, 41  # manylinux levels; trixie has glibc 2.41
_HEADER: Final = "# Made by `images/wheelhouse.py lock` from {name}.in and constraints.txt.\n"
_PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Pin:
    """One exact release and the SHA-256 of each of its files."""

    name: str
    version: str
    hashes: frozenset[str]

    def requirement(self) -> str:
        """Return the line that pip understands."""
        hashes = " ".join(f"--hash=sha256:{digest}" for digest in sorted(self.hashes))
        return f"{self.name}=={self.version} {hashes}"


def read_lock(text: str) -> list[Pin]:
    """Return what a lock pins.

    Raises:
        SetupError: a pin has no hash.
    """
    starts = [*_PIN.finditer(text)]
    ends = [*(match.start() for match in starts[1:]), len(text)]
    pins = []
    for match, end in zip(starts, ends, strict=True):
        hashes = frozenset(_HASH.findall(text, match.end(), end))
        if not hashes:
            raise SetupError(
                f"the lock pins {match['name']} without a hash",
                "make the locks anew: images/wheelhouse.py lock",
            )
        pins.append(Pin(match["name"].lower(), match["version"], hashes))
    return pins


def merge_locks(locks: Sequence[Path]) -> list[Pin]:
    """Return the pins of all locks, each once.

    Raises:
        SetupError: there is no lock, or two of them disagree.
    """
    merged: dict[str, Pin] = {}
    for lock in sorted(locks):
        for pin in read_lock(lock.read_text()):
            other = merged.setdefault(pin.name, pin)
            if other.version != pin.version:
                raise SetupError(
                    f"{lock.name} pins {pin.name} {pin.version}, another lock {other.version}",
                    f"write {pin.name}=={pin.version} into constraints.txt, then: "
                    "images/wheelhouse.py lock",
                )
    if not merged:
        raise SetupError("there is no lock", "make them: images/wheelhouse.py lock")
    return [merged[name] for name in sorted(merged)]


def missing_pins(pins: Sequence[Pin], wheelhouse: Path) -> tuple[list[Pin], list[Path]]:
    """Return the pins without a file in ``wheelhouse``, and the files no pin asks for."""
    found: set[str] = set()
    wanted = {digest for pin in pins for digest in pin.hashes}
    strangers = []
    for file in sorted(wheelhouse.glob("*")):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        found.add(digest)
        if digest not in wanted:
            strangers.append(file)
    return [pin for pin in pins if not pin.hashes & found], strangers


def fetch(wheelhouse: Path, architecture: str, *, with_simulation: bool = False) -> int:
    """Make ``wheelhouse`` hold what the locks name, and no more; return how many were fetched.

    Args:
        wheelhouse: the folder.
        architecture: ``x86_64`` or ``aarch64``.
        with_simulation: also what the image ``simulation`` needs; else that is kept if it is there.

    Raises:
        SetupError: there is no pip, or a package cannot be had.
    """
    locks = [*REQUIREMENTS.glob("*.lock")]
    every = merge_locks([*locks, SIMULATION.with_suffix(".lock")])
    wanted_now = every if with_simulation else merge_locks(locks)
    wheelhouse.mkdir(parents=True, exist_ok=True)
    lacking, strangers = missing_pins(every, wheelhouse)
    missing = [pin for pin in lacking if pin in wanted_now]
    for file in strangers:
        file.unlink()
    if missing:
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
            wanted.write("\n".join(pin.requirement() for pin in missing) + "\n")
            wanted.flush()
            options = ["--no-deps", "--require-hashes", "--requirement", wanted.name]
            download(options, wheelhouse, architecture)
    return len(missing)


def download(what: Sequence[str], folder: Path, architecture: str) -> None:
    """Have pip download wheels for the images' Python.

    Args:
        what: requirements or further options of ``pip download``.
        folder: where the wheels go.
        architecture: ``x86_64`` or ``aarch64``.

    Raises:
        SetupError: there is no pip, or no wheel fits.
    """
    command = [*find_pip(), "download", "--quiet", "--only-binary=:all:", f"--dest={folder}"]
    command += [*platform_options(architecture), *what]
    done = subprocess.run(command, check=False, text=True, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise SetupError(_pip_cause(done.stderr), _pip_remedy(done.stderr))


def platform_options(architecture: str) -> list[str]:
    """Return the options by which pip downloads for the images instead of for this machine."""
    levels = range(_NEWEST_GLIBC, _OLDEST_GLIBC - 1, -1)
    names = [
        *(f"manylinux_2_{level}_{architecture}" for level in levels),
        f"manylinux2014_{architecture}",
    ]
    if architecture == "x86_64":
        names += ["manylinux2010_x86_64", "manylinux1_x86_64"]
    options = [f"--platform={name}" for name in names]
    return [f"--python-version={PYTHON}", "--implementation=cp", *options]


def machine() -> str:
    """Return the architecture that images are built for: this machine's, as wheels name it."""
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(platform.machine(), platform.machine())


def find_pip() -> list[str]:
    """Return the command of a pip on this machine: of this Python, or of .venv.

    Raises:
        SetupError: there is none.
    """
    for python in (sys.executable, str(ROOT / ".venv" / "bin" / "python")):
        command = [python, "-m", "pip", "--disable-pip-version-check"]
        if _runs([*command, "--version"]):
            return command
    raise SetupError(
        f"{sys.executable} has no pip", "install it (apt-get install python3-pip), or: make setup"
    )


def lock() -> list[str]:
    """Resolve every requirements/*.in anew; return the names of the locks that changed.

    Raises:
        SetupError: uv is missing or finds no solution.
    """
    changed = []
    sources = {source.stem: source for source in REQUIREMENTS.glob("*.in")}
    everywhere: set[str] = set()
    for name in [*EVERYWHERE, *sorted(sources.keys() - set(EVERYWHERE))]:
        text = _HEADER.format(name=name) + without(_resolve(sources[name]), everywhere)
        if name in EVERYWHERE:
            everywhere |= {pin.name for pin in read_lock(text)}
        target = sources[name].with_suffix(".lock")
        changed += _write_lock(target, text)
    below = [REQUIREMENTS / f"{name}.lock" for name in (*EVERYWHERE, *_BELOW_SIMULATION)]
    beneath = {pin.name for pin in merge_locks(below)}
    text = _HEADER.format(name=SIMULATION.stem) + without(_resolve(SIMULATION), beneath)
    changed += _write_lock(SIMULATION.with_suffix(".lock"), text)
    merge_locks([*REQUIREMENTS.glob("*.lock"), SIMULATION.with_suffix(".lock")])
    return changed


def _write_lock(target: Path, text: str) -> list[str]:
    """Write a lock that has changed; return its name if it has."""
    if target.exists() and target.read_text() == text:
        return []
    target.write_text(text)
    return [target.name]


def without(lock_text: str, names: Collection[str]) -> str:
    """Return a lock without some of its pins."""
    starts = [match.start() for match in _PIN.finditer(lock_text)]
    entries = [
        lock_text[start:end]
        for start, end in zip(starts, [*starts[1:], len(lock_text)], strict=True)
    ]
    kept = [entry for entry in entries if read_lock(entry)[0].name not in names]
    return lock_text[: starts[0]] + "".join(kept) if starts else lock_text


def _resolve(source: Path) -> str:
    uv = ROOT / ".venv" / "bin" / "uv"
    if not uv.exists():
        raise SetupError("locks are made by uv, which is not here", "install it: make setup")
    command = [str(uv), "pip", "compile", "--quiet", "--no-config", "--generate-hashes"]
    command += [f"--python-version={PYTHON}", "--python-platform=linux", "--only-binary=:all:"]
    command += [f"--constraints={ROOT / 'constraints.txt'}", "--no-annotate", "--no-header"]
    environment = os.environ | dict(_index_of_pip())
    done = subprocess.run(
        [*command, str(source)], check=False, capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        raise SetupError(
            f"{source.name} has no solution: {done.stderr.strip()}",
            "correct it or constraints.txt, then: images/wheelhouse.py lock",
        )
    return done.stdout


def _index_of_pip() -> Iterator[tuple[str, str]]:
    """Yield what uv must be told to ask the index that pip asks."""
    for option, variable in (("index-url", "UV_DEFAULT_INDEX"), ("cert", "SSL_CERT_FILE")):
        if variable in os.environ:
            continue
        command = [*find_pip(), "config", "get", f"global.{option}"]
        asked = subprocess.run(command, check=False, capture_output=True, text=True)
        if asked.returncode == 0 and asked.stdout.strip():
            yield variable, asked.stdout.strip()


def _runs(command: Sequence[str]) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except OSError:
        return False


def _pip_cause(stderr: str) -> str:
    errors = [line for line in stderr.splitlines() if line.startswith("ERROR: ")]
    return (errors[-1].removeprefix("ERROR: ") if errors else stderr.strip()) or "pip failed"


def _pip_remedy(stderr: str) -> str:
    if "No matching distribution" in stderr:
        return f"name a release that has a wheel for Python {PYTHON} on Linux, or no such package"
    if "HASHES" in stderr:
        return "the index serves other files than the lock names: ask who runs it, or lock anew"
    return "check that pip reaches its index: python3 -m pip download --no-deps pip"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True, metavar="{lock,fetch}")
    commands.add_parser("lock", help="resolve requirements/*.in into requirements/*.lock")
    fetching = commands.add_parser("fetch", help="download what the locks name; nothing if there")
    fetching.add_argument("--dest", type=Path, default=WHEELHOUSE, help="default: %(default)s")
    fetching.add_argument("--machine", default=machine(), help="default: %(default)s")
    args = parser.parse_args(argv)
    try:
        if args.command == "lock":
            changed = lock()
            print(f"locks: {', '.join(changed) or 'as they were'}")
        else:
            fetched = fetch(args.dest, args.machine)
            held = len([*args.dest.glob("*.whl")])
            print(f"wheelhouse: {held} wheels in {args.dest}, {fetched} of them fetched now")
    except SetupError as error:
        sys.stderr.write(error.report())
        return 3
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; give the same command again to go on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
