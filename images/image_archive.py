"""A root file system as an image: the archive that ``docker load`` reads, written by ourselves.

``docker import`` stamps its image with the time of day, so that the same root gets another id on
every machine; here the id follows from contents alone, and the engine's build cache holds.
"""

import hashlib
import io
import json
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from scripts.debian import SetupError

CHUNK: Final = 1024 * 1024  # bytes


@dataclass(frozen=True)
class Image:
    """What an image says about itself, beside its files."""

    name: str
    architecture: str
    env: Mapping[str, str]
    labels: Mapping[str, str]
    command: tuple[str, ...]
    epoch: int

    def config(self, diff_id: str) -> bytes:
        """Write the image's configuration; its digest is the image's id."""
        created = datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        config = {
            "architecture": self.architecture,
            "os": "linux",
            "created": created,
            "config": {
                "Env": [f"{name}={value}" for name, value in sorted(self.env.items())],
                "Cmd": list(self.command),
                "WorkingDir": "/",
                "Labels": dict(sorted(self.labels.items())),
            },
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": created, "created_by": "images/bases.py make"}],
        }
        return json.dumps(config, sort_keys=True).encode()


def digest(file: Path) -> str:
    """Return a file's SHA-256."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write(image: Image, root: Path, to: IO[bytes]) -> None:
    """Write an image of one layer, the root's tar, as a stream."""
    layer_digest = digest(root)
    layer = f"{layer_digest}/layer.tar"
    config = image.config(f"sha256:{layer_digest}")
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    listing = [{"Config": config_name, "RepoTags": [image.name], "Layers": [layer]}]
    with tarfile.open(fileobj=to, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        _add(archive, config_name, config)
        with root.open("rb") as content:
            entry = tarfile.TarInfo(layer)
            entry.size = root.stat().st_size
            archive.addfile(entry, content)
        _add(archive, "manifest.json", json.dumps(listing).encode())


def load(image: Image, root: Path) -> None:
    """Hand an image to the engine.

    Raises:
        SetupError: the engine refused it.
    """
    docker = subprocess.Popen(
        ["docker", "load", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert docker.stdin is not None
    try:
        write(image, root, docker.stdin)
        docker.stdin.close()
    except BrokenPipeError:
        pass  # the engine says why below
    said = docker.stdout.read().decode(errors="replace") if docker.stdout else ""
    if docker.wait() != 0:
        raise SetupError(
            f"the engine refused {image.name}: {said.strip()}",
            "free disk space where the engine keeps its data, then run this again",
        )


def label(name: str, key: str) -> str | None:
    """Read one label of an image the engine has; None when it has no such image."""
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{key}"}}}}', name],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
