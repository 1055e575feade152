#!/usr/bin/env python3
"""Build the images, and whatever they are made of: bases, wheels, Debian packages.

What is up to date is left alone, so that a second call takes seconds. Images are named
REGISTRY/ROLE:VERSION. Environment: REGISTRY and VERSION (names), BUILD_BASE, RUN_BASE and
RUN_PYTHON (other bases), REVISION (a commit for the labels), SOURCE_DATE_EPOCH (date of every
file).

Exit codes: 0 done, 1 a bug, 2 wrong usage, 3 something the tool needs is missing or does not
answer, 4 an image does not build.
"""

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from images import bases, debs, inputs, sbom, wheelhouse
from scripts import engine_pieces
from scripts.debian import SetupError

ROOT: Final = Path(__file__).resolve().parents[1]
STATE: Final = ROOT / ".state" / "images"
LOG: Final = STATE / "build.log"
DEBS: Final = STATE / "debs" / "postgres"
POSTGRES_PACKAGES: Final = ROOT / "images" / "postgres" / "packages.txt"
INPUTS_LABEL: Final = "flwr-compose.inputs"
PUBLIC_BASES: Final = ROOT / "images" / "versions.env"
_STEP: Final = re.compile(r"^#\d+ \[(?:[a-z]+ )?(?P<stage>[a-z-]+) +(?P<step>\d+/\d+)\] RUN")
_SHOWN_OF_LOG: Final = 30


class BuildError(SetupError):
    """An image does not build."""


@dataclass(frozen=True, slots=True)
class Built:
    """One image as it is now."""

    role: str
    image: str
    id: str
    size_mb: float
    was_built: bool


def build(
    roles: Sequence[str], *, force: bool = False, update: bool = False, verbose: bool = False
) -> list[Built]:
    """Build what is not up to date.

    Args:
        roles: which images.
        force: take nothing from the build cache.
        update: make the bases anew, with Debian's present packages.
        verbose: print everything that the builder prints.

    Raises:
        SetupError: the engine, a base or a package is not to be had.
        BuildError: an image does not build.
    """
    if engine_pieces.server_version() is None:
        raise SetupError("no engine answers", "run: python3 scripts/engine.py up")
    if update:
        shutil.rmtree(DEBS, ignore_errors=True)
    variables = bake_variables(os.environ, make_bases(os.environ, update=update))
    wanted = {role: variables | {"INPUTS": input_digest(role, variables)} for role in roles}
    names = {role: image_name(role, variables) for role in roles}
    stale = [
        role
        for role in roles
        if force or update or label(names[role], INPUTS_LABEL) != wanted[role]["INPUTS"]
    ]
    older = [image_id_here(names[role]) for role in stale]
    if stale:
        fetched = wheelhouse.fetch(
            wheelhouse.WHEELHOUSE, wheelhouse.machine(), with_simulation="simulation" in stale
        )
        say(f"wheelhouse: {'complete' if not fetched else f'{fetched} wheels fetched'}")
        fetch_debs(wanted_now="postgres" in stale, local=variables["POSTGRES_PACKAGES"] == "local")
        bake({role: wanted[role] for role in stale}, force=force, verbose=verbose)
        forget(older)
    return [inspect(role, names[role], was_built=role in stale) for role in roles]


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Wait until no other build of this repository is going on."""
    STATE.mkdir(parents=True, exist_ok=True)
    with (STATE / "build.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another build to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def make_bases(environment: Mapping[str, str], *, update: bool = False) -> dict[str, str]:
    """Return the bases to build on: those given, else our own, else the public ones.

    Raises:
        SetupError: our own bases are wanted and cannot be made.
    """
    given = {name: environment[name] for name in ("BUILD_BASE", "RUN_BASE") if name in environment}
    if len(given) == len(("BUILD_BASE", "RUN_BASE")):
        return given
    own = {f"{base.role.upper()}_BASE": base.image for base in bases.BASES}
    try:
        bases.check_machine()
    except SetupError as reason:
        if all(image_id_here(name) for name in own.values()) and not update:
            return own | given  # root made them earlier
        say(f"{reason}")
        return read_env_file(PUBLIC_BASES.read_text()) | given
    with contextlib.redirect_stdout(sys.stderr):  # results alone go to standard output
        bases.make(bases.BASES, force=update, out=None)
    return own | given


def bake_variables(environment: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of images/docker-bake.hcl, but for the digest of the inputs."""
    variables = {
        "REGISTRY": environment.get("REGISTRY", "flwr-compose"),
        "VERSION": environment.get("VERSION", inputs.version(ROOT)),
        "CONTRACT": inputs.contract(ROOT),
        "SOURCE_DATE_EPOCH": environment.get("SOURCE_DATE_EPOCH", str(bases.EPOCH)),
        "REVISION": environment.get("REVISION", ""),
        "RUN_PYTHON": environment.get("RUN_PYTHON", "/usr/bin/python3"),
        "POSTGRES_PACKAGES": "local" if debs.can_fetch() else "network",
    }
    return variables | dict(chosen)


def input_digest(role: str, variables: Mapping[str, str]) -> str:
    """Return the digest of what a role's image is made of, down to the ids of its bases."""
    ids = {f"{name}_ID": image_id(variables[name]) for name in ("BUILD_BASE", "RUN_BASE")}
    return inputs.digest(ROOT, role, {**variables, **ids})


def fetch_debs(*, wanted_now: bool, local: bool) -> None:
    """Fetch the packages of the postgres image; bake wants the folder in any case.

    Raises:
        SetupError: a mirror does not answer.
    """
    DEBS.mkdir(parents=True, exist_ok=True)
    if wanted_now and local:
        packages = bases.read_packages(POSTGRES_PACKAGES.read_text())
        say(f"postgres: {debs.fetch_alone(packages, DEBS)} Debian packages")


def bake(images: Mapping[str, Mapping[str, str]], *, force: bool, verbose: bool) -> None:
    """Build images together, so that they share their layers.

    Args:
        images: the variables of each, by role.
        force: take nothing from the build cache.
        verbose: print everything.

    Raises:
        BuildError: one does not build; the log says why.
    """
    command = ["docker", "buildx", "bake", "--file", "images/docker-bake.hcl", "--progress=plain"]
    command += ["--no-cache"] if force else []
    shared: dict[str, str] = {}
    for role, variables in images.items():
        shared |= {name: value for name, value in variables.items() if name != "INPUTS"}
        command.append(f"--set={role}.args.INPUTS={variables['INPUTS']}")
    LOG.parent.mkdir(parents=True, exist_ok=True)
    say(f"building {', '.join(images)}; everything it prints: {LOG.relative_to(ROOT)}")
    builder = subprocess.Popen(
        [*command, *images],
        cwd=ROOT,
        env={**os.environ, **shared},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    with LOG.open("w") as log:
        follow(builder.stdout or (), log.write, verbose=verbose)
    if builder.wait() != 0:
        lines = LOG.read_text().strip().splitlines()[-_SHOWN_OF_LOG:]
        raise BuildError(
            "an image does not build:\n" + "\n".join(lines),
            f"read {LOG.relative_to(ROOT)}, mend it, then run this again",
        )


def follow(lines: Iterable[str], write: Callable[[str], object], *, verbose: bool) -> None:
    """Write the builder's lines to the log; print each once that starts some work."""
    seen: set[str] = set()
    for line in lines:
        write(line)
        found = _STEP.match(line)
        if verbose:
            say(line.rstrip("\n"))
        elif found and found["stage"] not in seen:
            seen.add(found["stage"])
            say(f"  {found['stage']}")


def inspect(role: str, name: str, *, was_built: bool) -> Built:
    """Return what the engine says about an image.

    Raises:
        BuildError: it is not there.
    """
    said = ask("image", "inspect", "--format", "{{.Id}} {{.Size}}", name)
    if said is None:
        raise BuildError(f"{name} was built and is gone", "run: images/build.py")
    found, size = said.split()
    return Built(role, name, found, round(int(size) / 1e6, 1), was_built)


def image_name(role: str, variables: Mapping[str, str]) -> str:
    """Return an image's name and tag."""
    return f"{variables['REGISTRY']}/{role}:{variables['VERSION']}"


def image_id(name: str) -> str:
    """Return the id of an image; pull it when the engine does not have it.

    Raises:
        SetupError: it cannot be pulled either.
    """
    found = image_id_here(name)
    if not found:
        say(f"pulling {name}")
        if ask("pull", "--quiet", name) is None:
            raise SetupError(
                f"the engine has no image {name}, and no registry gives it",
                "make it: images/bases.py make; or name another base: BUILD_BASE=, RUN_BASE=",
            )
        say(f"pulled {ask('image', 'inspect', '--format', '{{.RepoDigests}}', name)}")
        found = image_id_here(name)
    return found


def image_id_here(name: str) -> str:
    """Return the id of an image, empty when the engine does not have it."""
    return ask("image", "inspect", "--format", "{{.Id}}", name) or ""


def forget(ids: Iterable[str]) -> None:
    """Remove images that lost their name to a newer one, unless a container uses them."""
    for found in ids:
        if found and ask("image", "inspect", "--format", "{{len .RepoTags}}", found) == "0":
            ask("image", "rm", found)


def label(name: str, key: str) -> str:
    """Return a label of an image, empty when there is no such image."""
    return ask("image", "inspect", "--format", f'{{{{index .Config.Labels "{key}"}}}}', name) or ""


def ask(*command: str) -> str | None:
    """Return what docker prints, None when it fails."""
    done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def read_env_file(text: str) -> dict[str, str]:
    """Read NAME=VALUE lines; ``#`` starts a comment."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def say(line: str) -> None:
    """Print progress at once, also into a pipe."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def show(images: Sequence[Built], seconds: float) -> None:
    """Print a table of the images."""
    for built in images:
        state = "built" if built.was_built else "up to date"
        print(f"{built.image:<34} {built.size_mb:>7.1f} MB  {built.id[7:19]}  {state}")
    print(f"{len(images)} images in {seconds:.1f} s")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    made = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("roles", nargs="*", metavar="ROLE", help=f"of {', '.join(inputs.EVERY)}")
    made.add_argument("--force", action="store_true", help="build anew, without the build cache")
    made.add_argument("--update", action="store_true", help="take in Debian's updates")
    made.add_argument("--verbose", action="store_true", help="print all that the builder prints")
    made.add_argument("--sbom", action="store_true", help="also list what is in each image")
    made.add_argument("--format", choices=("text", "json"), default="text", help="of the summary")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    made = parser()
    args = made.parse_args(argv)
    if unknown := sorted(set(args.roles) - set(inputs.EVERY)):
        made.error(f"no image is called {', '.join(unknown)}; there are {', '.join(inputs.EVERY)}")
    started = time.monotonic()
    try:
        with alone():
            images = build(
                args.roles or inputs.ROLES,
                force=args.force,
                update=args.update,
                verbose=args.verbose,
            )
        if args.sbom:
            for built in images:
                say(f"sbom: {sbom.write(built.image, STATE / 'sbom' / f'{built.role}.cdx.json')}")
    except SetupError as error:
        sys.stderr.write(error.report())
        return 4 if isinstance(error, BuildError) else 3
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; give the same command again to go on\n")
        return 130
    if args.format == "json":
        print(json.dumps([asdict(built) for built in images], indent=2))
    else:
        show(images, time.monotonic() - started)
    return 0


if __name__ == "__main__":
    sys.exit(main())
