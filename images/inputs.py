"""What an image is made of, as one digest: equal digests mean that there is nothing to build."""

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROLES: Final = ("superlink", "supernode", "serverapp", "clientapp", "cli", "certs", "postgres")
EVERY: Final = (*ROLES, "simulation")  # the last on request only: Ray is large, few need it
LOCAL_REGISTRY: Final = "flwr-compose"
APP_ROLES: Final = ("serverapp", "clientapp")
_RECIPE: Final = (".dockerignore", "images/Dockerfile", "images/docker-bake.hcl")
_LAYERS: Final = (*_RECIPE, "images/layer.py", "images/requirements")
_RUNTIME: Final = (*_LAYERS, "images/health.py", "runtime", "pyproject.toml", "LICENSE")
SOURCES: Final[Mapping[str, Sequence[str]]] = {
    "superlink": _RUNTIME,
    "supernode": _RUNTIME,
    "cli": _RUNTIME,
    "serverapp": (*_RUNTIME, "images/app_venv.py"),
    "clientapp": (*_RUNTIME, "images/app_venv.py"),
    "simulation": (*_RUNTIME, "images/app_venv.py", "images/simulation"),
    "certs": (*_LAYERS, "certs"),
    "postgres": (*_LAYERS, "images/postgres"),
}
_IGNORED: Final = re.compile(r"__pycache__|\.egg-info|\.pyc$|\.key$|\.pem$|\.in$")


def digest(root: Path, role: str, arguments: Mapping[str, str]) -> str:
    """Return the digest of a role's sources and build arguments.

    Args:
        root: the repository.
        role: one of ``EVERY``.
        arguments: what else decides what comes out, ids of the bases among them.
    """
    found = hashlib.sha256()
    for name, value in sorted(arguments.items()):
        found.update(f"{name}={value}\0".encode())
    for file in _files(root, SOURCES[role]):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        found.update(f"{file.relative_to(root)}={content}\0".encode())
    return f"sha256:{found.hexdigest()}"


def version(root: Path) -> str:
    """Return the version of this distribution, which tags the images."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    return str(project["version"])


def local_image(root: Path, role: str) -> str:
    """Return the name of a role's image as it is built and deployed where nobody says otherwise."""
    return f"{LOCAL_REGISTRY}/{role}:{version(root)}"


def contract(root: Path) -> str:
    """Return the release of the public contract, which ``flwr --version`` prints."""
    text = (root / "runtime" / "flwr" / "__init__.py").read_text()
    found = re.search(r'^__version__: Final = "([^"]+)"', text, re.MULTILINE)
    return found.group(1) if found else ""


def _files(root: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        place = root / name
        below = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (
            file
            for file in below
            if file.is_file() and not _IGNORED.search(str(file.relative_to(root)))
        )
