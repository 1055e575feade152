#!/usr/bin/env python3
"""Build the two images of an app: its packages on top of serverapp and clientapp.

They come from the app's pyproject.toml: [project] dependencies, and debian-packages in
[tool.flwr-compose.image]; options add what is not written there. Packages are fetched on this
machine, as wheels for the images' Python, and installed without a network. The app's own code is in
no image: it travels with each run.

Environment: REGISTRY (first part of the images' names) and VERSION (of serverapp and clientapp).
Exit codes: 0 done, 1 a bug, 2 wrong usage or pyproject.toml, 3 something the tool needs is missing
or does not answer, 4 the image does not build.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from images import app_manifest, build, debs, inputs, wheelhouse
from images.app_manifest import AppManifest, ManifestError
from images.build import INPUTS_LABEL, BuildError, say
from scripts import engine_pieces
from scripts.debian import SetupError

ROOT: Final = Path(__file__).resolve().parents[1]
APPS: Final = ROOT / ".state" / "apps"
DOCKERFILE: Final = ROOT / "images" / "app" / "Dockerfile"
_LACKED: Final = re.compile(r"No matching distribution found for (?P<requirement>\S+)")
_TOLD: Final = re.compile(
    r"^#\d+ [\d.]+ +(?:ERROR: |E: |(?=The user requested))(?P<cause>.+)$", re.MULTILINE
)
_MOST_TRIES: Final = 10  # packages that only the images' Python needs are found one by one


@dataclass(frozen=True, slots=True)
class Names:
    """Names of an app's image and of what it is made of, for one role."""

    role: str
    parent: str
    image: str


def names_of(app: AppManifest, registry: str, version: str) -> list[Names]:
    """Return the names of both images."""
    short = app_manifest.repository(app.name)
    return [
        Names(role, f"{registry}/{role}:{version}", f"{registry}/{short}-{role}:{app.version}")
        for role in inputs.APP_ROLES
    ]


def make(app: AppManifest, names: Sequence[Names], *, refresh: bool) -> list[str]:
    """Build what is not up to date; return the names of those that were built.

    Args:
        app: what goes in.
        names: the images.
        refresh: fetch packages anew: the newest releases that the app allows.

    Raises:
        SetupError: the engine, a parent image or a package is not to be had.
        BuildError: an image does not build.
    """
    if engine_pieces.server_version() is None:
        raise SetupError("no engine answers", "run: python3 scripts/engine.py up")
    if missing := [
        each.role for each in names if build.ask("image", "inspect", each.parent) is None
    ]:
        build.build(missing)
    folder = APPS / app_manifest.repository(app.name)
    wheels = fetch_wheels(app, names[0].parent, folder, refresh=refresh)
    built = []
    for each in names:
        digest = digest_of(app, build.image_id(each.parent), wheels)
        if build.label(each.image, INPUTS_LABEL) != digest:
            older = build.image_id_here(each.image)
            build_one(app, each, folder, digest, installer=names[0].parent)
            build.forget([older])
            built.append(each.image)
    return built


def digest_of(app: AppManifest, parent: str, wheels: Path) -> str:
    """Return the digest of everything an image of the app is made of."""
    parts = [parent, DOCKERFILE.read_text(), app.full_name, app.version, *app.debian_packages]
    parts += [(wheels / "requirements.txt").read_text()]
    parts += sorted(wheel.name for wheel in wheels.glob("*.whl"))
    return f"sha256:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()}"


def fetch_wheels(app: AppManifest, parent: str, folder: Path, *, refresh: bool) -> Path:
    """Return a folder with wheels of all that the app needs; they are fetched once.

    Raises:
        SetupError: there is no pip, or a package has no wheel for the images' Python.
    """
    text = "".join(f"{line}\n" for line in app.requirements)
    wheels = folder / "wheels"
    wanted = wheels / "requirements.txt"
    if not refresh and wanted.exists() and wanted.read_text() == text:
        return wheels
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheels-", dir=folder) as name:
        work = Path(name)
        work.chmod(0o755)  # the image's user reads in it
        (work / "requirements.txt").write_text(text)
        if app.requirements:
            say(f"{app.name}: fetching {', '.join(app.requirements)} and what they need")
            complete_wheels(app.requirements, parent, work)
        shutil.rmtree(wheels, ignore_errors=True)
        work.rename(wheels)
        work.mkdir()  # for its own cleaning up
    return wheels


def complete_wheels(requirements: Sequence[str], parent: str, work: Path) -> None:
    """Fetch wheels until a pip inside the image finds all that it wants.

    Packages that are needed on the images' Python only escape the pip of a machine with another
    one; the image's own names them.

    Raises:
        SetupError: a package has no fitting wheel.
    """
    wanted = list(requirements)
    for _ in range(_MOST_TRIES):
        try:
            wheelhouse.download(wanted, work, wheelhouse.machine())
        except SetupError as cause:
            raise SetupError(
                f"{cause}",
                f"{cause.remedy}; what has no wheel can be built by hand: images/README.md, "
                "'Images of your app by hand'",
            ) from cause
        lacked = lacking(parent, work)
        if lacked is None or lacked in wanted:
            return  # the build will say it, if anything is wrong still
        wanted.append(lacked)


def lacking(parent: str, wheels: Path) -> str | None:
    """Return the first requirement that the image's pip does not find in ``wheels``."""
    command = ["docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp"]
    command += ["--user=0", f"--volume={wheels}:/wheels:ro", "--entrypoint=pip", parent]
    command += ["install", "--dry-run", "--no-index", "--find-links=/wheels"]
    command += ["--requirement=/wheels/requirements.txt"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    found = _LACKED.search(done.stderr)
    return found["requirement"] if done.returncode != 0 and found else None


def build_one(app: AppManifest, names: Names, folder: Path, digest: str, *, installer: str) -> None:
    """Build one image of the app.

    Args:
        app: what goes in.
        names: of the image and its parent.
        folder: where the packages lie.
        digest: of everything the image is made of.
        installer: the image whose pip installs, once for all images of the app.

    Raises:
        SetupError: a Debian package is not to be had.
        BuildError: it does not build.
    """
    say(f"{names.image}: building")
    system = fetch_debs(app, names.parent, folder / "debs")
    arguments = {
        "PARENT": names.parent,
        "INSTALLER": installer,
        "SYSTEM": system,
        "DEBIAN_PACKAGES": " ".join(app.debian_packages),
        "TITLE": f"{app.name}-{names.role}",
        "VERSION": app.version,
        "APP": app.full_name,
        "INPUTS": digest,
    }
    command = ["docker", "buildx", "build", "--progress=plain", f"--tag={names.image}"]
    command += [f"--file={DOCKERFILE}", f"--build-context=wheels={folder / 'wheels'}"]
    command += [f"--build-context=debs={folder / 'debs'}"]
    command += [f"--build-arg={name}={value}" for name, value in arguments.items()]
    done = subprocess.run(
        [*command, str(DOCKERFILE.parent)], check=False, capture_output=True, text=True
    )
    (folder / "build.log").write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise BuildError(
            f"{names.image} does not build: {cause_of(done.stderr)}",
            f"correct the app's pyproject.toml; everything it printed: {folder / 'build.log'}",
        )


def fetch_debs(app: AppManifest, parent: str, folder: Path) -> str:
    """Fetch the app's Debian packages; return where the build is to take them from."""
    if app.debian_packages and debs.can_fetch():
        return "local" if debs.fetch(app.debian_packages, parent, folder) else "plain"
    folder.mkdir(parents=True, exist_ok=True)
    return "network" if app.debian_packages else "plain"


def cause_of(log: str) -> str:
    """Return the lines of a builder's log in which pip or apt says why it failed."""
    told = [found["cause"] for found in _TOLD.finditer(log) if "Impossible" not in found["cause"]]
    return "; ".join(dict.fromkeys(told)) or log.strip()[-500:]


def show(app: AppManifest, names: Sequence[Names], built: Sequence[str]) -> None:
    """Print what there is now, and what to do with it."""
    for each in names:
        print(f"{each.image}  {'built' if each.image in built else 'up to date'}")
    print("\nIn compose/.env:")
    for each in names:
        print(f"FLWR_{each.role.upper()}_IMAGE={each.image}")
    if app.publisher:
        print(f"\nBeside other apps, in one federation, start the executor for it alone:\n"
              f"  --only-apps {app.full_name}")  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    made = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("app", type=Path, metavar="APPDIR", help="folder with its pyproject.toml")
    made.add_argument(
        *("--requirement", "-r"),
        action="append",
        default=[],
        metavar="PACKAGE",
        help="a further package of Python, as pip understands it; repeatable",
    )
    made.add_argument(
        "--debian-package",
        action="append",
        default=[],
        metavar="NAME",
        help="a further package of Debian; repeatable",
    )
    made.add_argument("--refresh", action="store_true", help="fetch the newest packages anew")
    made.add_argument("--format", choices=("text", "json"), default="text", help="of the result")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    args = parser().parse_args(argv)
    registry = os.environ.get("REGISTRY", "flwr-compose")
    try:
        app = app_manifest.extended(
            app_manifest.read(args.app), args.requirement, args.debian_package
        )
        names = names_of(app, registry, os.environ.get("VERSION", inputs.version(ROOT)))
        built = make(app, names, refresh=args.refresh)
    except SetupError as error:
        sys.stderr.write(error.report())
        return {ManifestError: 2, BuildError: 4}.get(type(error), 3)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; give the same command again to go on\n")
        return 130
    if args.format == "json":
        print(json.dumps({each.role: each.image for each in names}, indent=2))
    else:
        show(app, names, built)
    return 0


if __name__ == "__main__":
    sys.exit(main())
