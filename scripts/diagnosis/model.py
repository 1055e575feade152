"""The deployment as Compose resolves it: the one truth about images, ports and mounts."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from scripts.diagnosis.findings import ask

SECRETS: Final = "/run/secrets"


class ModelError(Exception):
    """Compose cannot resolve the deployment; the text is its own last line."""


@dataclass(frozen=True)
class Mount:
    """A folder of the host that containers see."""

    source: Path
    target: str
    is_read_only: bool
    services: tuple[str, ...]
    uid: int
    groups: frozenset[int]


@dataclass(frozen=True)
class Port:
    """A port of the host that a service publishes."""

    service: str
    host: str
    number: int
    target: int


@dataclass(frozen=True)
class Model:
    """Name and services of a deployment."""

    name: str
    services: dict[str, Any]

    @property
    def images(self) -> list[str]:
        """Every image that is needed, once."""
        return sorted({str(service.get("image", "")) for service in self.services.values()} - {""})

    @property
    def ports(self) -> list[Port]:
        """Every port that is published."""
        return [
            Port(name, port.get("host_ip") or "0.0.0.0", int(port["published"]), port["target"])  # noqa: S104 - what Docker does
            for name, service in self.services.items()
            for port in service.get("ports") or []
            if str(port.get("published", "")).isdigit()
        ]

    @property
    def mounts(self) -> list[Mount]:
        """Every folder of the host that is mounted, once for each who reads it."""
        found: dict[tuple[Any, ...], list[str]] = {}
        for name, service in self.services.items():
            uid, groups = _identity(service)
            for volume in service.get("volumes") or []:
                if volume.get("type") == "bind":
                    is_read_only = bool(volume.get("read_only"))
                    key = (volume["source"], volume["target"], is_read_only, uid, groups)
                    found.setdefault(key, []).append(name)
        return [
            Mount(Path(source), target, is_read_only, tuple(services), uid, groups)
            for (source, target, is_read_only, uid, groups), services in found.items()
        ]

    @property
    def certs(self) -> Path | None:
        """The folder of `make certs`; None when no service mounts a part of it."""
        folders = [m.source for m in self.mounts if m.target == SECRETS]
        found = [f.parent for f in folders if f.name.startswith(("superlink", "supernode-"))]
        return found[0] if found else None

    def setting(self, service: str, name: str) -> str:
        """Return an environment variable of a service, empty if it has none."""
        return str((self.services.get(service, {}).get("environment") or {}).get(name) or "")


def compose(folder: Path, env_file: Path | None) -> list[str]:
    """Return the beginning of a Compose command for a deployment."""
    named = ["--env-file", str(env_file)] if env_file else []
    return ["docker", "compose", "--project-directory", str(folder), *named]


def load_model(folder: Path, env_file: Path | None) -> Model:
    """Let Compose resolve files, overlays and variables.

    Raises:
        ModelError: it refuses to.
    """
    answer = ask([*compose(folder, env_file), "config", "--format", "json"], cwd=folder)
    if not answer.is_good:
        raise ModelError(answer.last_line())
    document = json.loads(answer.out)
    return Model(str(document["name"]), document.get("services") or {})


def _identity(service: dict[str, Any]) -> tuple[int, frozenset[int]]:
    uid, _, gid = str(service.get("user") or "0").partition(":")
    extra = [str(group) for group in service.get("group_add") or []]
    groups = frozenset(int(group) for group in [gid or "0", *extra] if group.isdigit())
    return (int(uid) if uid.isdigit() else 0), groups
