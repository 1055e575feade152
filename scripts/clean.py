#!/usr/bin/env python3
"""Remove every trace of this checkout: federations with their state, images, keys, files.

Removes the containers, networks and volumes of each federation started from here, the images and
bases that were made here, and what lies in the folder but not in version control.  An engine that
`make engine` or `make demo` started loses its build cache and is stopped, unless somebody else has
containers on it.  Installed packages stay, and so does compose/.env, unless the demo wrote it.
``--dry-run`` only lists.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from images.inputs import local_image
from scripts.demo import is_ours
from scripts.federation import COMPOSE, KNOWN, PROJECT, ROOT, SETTINGS, docker
from scripts.progress import StepError

FILES: Final = (
    *(".venv", ".state", ".interop", ".mypy_cache", ".ruff_cache", ".pytest_cache"),
    *(".hypothesis", ".import_linter_cache", "runtime/flwr_compose.egg-info"),
)
IMAGES: Final = {"images": "flwr-compose.inputs", "bases": "flwr-compose.base.key"}  # by label
_CERTS_IMAGE: Final = local_image(ROOT, "certs")
_ENGINE: Final = ROOT / "scripts" / "engine.py"


class Cleaner:
    """Removes things, or only says so."""

    def __init__(self, *, dry_run: bool) -> None:
        """Take whether to do it."""
        self._dry_run = dry_run
        self.failed: list[str] = []

    def clean_engine(self) -> None:
        """Remove what an engine holds of us, then stop it if it is ours."""
        for name in self._federations():
            self._remove(f"containers of {name}", ("rm", "--force", "--volumes"), containers(name))
            self._remove(f"networks of {name}", ("network", "rm"), of_project("network", name))
            self._remove(f"volumes of {name}", ("volume", "rm"), of_project("volume", name))
        self._unlock_files()
        for what, label in IMAGES.items():
            rows = docker("image", "ls", "--quiet", "--no-trunc", "--filter", f"label={label}")
            self._remove(what, ("image", "rm", "--force"), dict.fromkeys(rows.split()))
        if not engine_is_ours():
            return
        self._say("the build cache of the engine that was started from here")
        if not self._dry_run:
            docker("builder", "prune", "--all", "--force")
            if docker("ps", "--quiet").split():
                sys.stdout.write("left the engine running: it has containers of others\n")
            else:
                subprocess.run([sys.executable, str(_ENGINE), "down"], check=False)

    def clean_files(self) -> None:
        """Remove what is in the folder but not in version control."""
        found = [ROOT / name for name in FILES if (ROOT / name).exists()]
        if SETTINGS.exists() and is_ours(SETTINGS):
            found.append(SETTINGS)
        caches = [p for p in ROOT.rglob("__pycache__") if ".venv" not in p.parts]
        for path in [*found, *caches]:
            if path in found:
                self._say(str(path.relative_to(ROOT)))
            if self._dry_run:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)  # a cache within a folder that is gone by now
            if path.exists():
                self.failed.append(f"{path}: not all of it is yours")

    def _federations(self) -> list[str]:
        """Return the names of those started from here: noted ones, and whose files are these."""
        noted = KNOWN.read_text("utf-8").split() if KNOWN.exists() else []
        here = f"label={PROJECT}.working_dir={COMPOSE}"
        rows = docker("ps", "--all", "--filter", here, "--format", '{{.Label "' + PROJECT + '"}}')
        return list(dict.fromkeys([*noted, *rows.split()]))

    def _remove(self, what: str, command: Sequence[str], names: Iterable[str]) -> None:
        """Remove things one by one, so that one in use does not keep the others."""
        removed = 0
        for name in names:
            try:
                if not self._dry_run:
                    docker(*command, name)
                removed += 1
            except StepError as error:
                self.failed.append(f"{what}: {error}")
        if removed:
            self._say(f"{what}: {removed}")

    def _unlock_files(self) -> None:
        """Remove keys that the certs image owns; only root may, and we need not be root."""
        certs, image = ROOT / ".state" / "certs", _CERTS_IMAGE
        if self._dry_run or not certs.exists() or certs.owner() == ROOT.owner():
            return
        script = "import shutil, sys; [shutil.rmtree(p) for p in sys.argv[1:]]"
        folders = [f"/certs/{path.name}" for path in certs.iterdir() if path.is_dir()]
        entry = ("--entrypoint", "python3", "--volume", f"{certs}:/certs", image)
        try:
            docker("run", "--rm", "--network", "none", *entry, "-c", script, *folders)
        except StepError as error:
            self.failed.append(f"{certs}: {error}")

    def _say(self, what: str) -> None:
        sys.stdout.write(f"{'would remove' if self._dry_run else 'removed'} {what}\n")
        sys.stdout.flush()


def containers(name: str) -> list[str]:
    """Return the ids of a project's containers."""
    return docker("ps", "--all", "--quiet", "--filter", f"label={PROJECT}={name}").split()


def of_project(kind: str, name: str) -> list[str]:
    """Return the names of a project's networks or volumes."""
    return docker(
        kind, "ls", "--filter", f"label={PROJECT}={name}", "--format", "{{.Name}}"
    ).split()


def engine_answers() -> bool:
    """Tell whether there is an engine to clean."""
    try:
        docker("version", "--format", "{{.Server.Version}}")
    except StepError:
        return False
    return True


def engine_is_ours() -> bool:
    """Tell whether `engine.py up` started the engine that answers."""
    command = [sys.executable, str(_ENGINE), "status", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return bool(json.loads(done.stdout or "{}").get("started_by_up"))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dry-run", action="store_true", help="list, remove nothing")
    args = parser.parse_args(argv)
    cleaner = Cleaner(dry_run=args.dry_run)
    if engine_answers():
        cleaner.clean_engine()
    elif KNOWN.exists():
        sys.stderr.write(
            "clean.py: no engine answers, so containers, volumes and images stay\n"
            "  what to do: make engine && make clean\n"
        )
        return 3
    cleaner.clean_files()
    for line in cleaner.failed:
        sys.stderr.write(f"clean.py: not removed: {line}\n")
    return 1 if cleaner.failed else 0


if __name__ == "__main__":
    sys.exit(main())
