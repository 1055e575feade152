"""What a deployment may be given, checked, and how it is written for Compose.

Secrets are files: their paths are written down here and their contents nowhere.  Nothing in this
module runs a container.
"""

import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

from flwr.core.errors import InvalidError

APP_SECRETS: Final = "/run/app-secrets"
CONTAINER_ID: Final = 10001  # user and group of every container
_MEMORY: Final = re.compile(r"[1-9][0-9]*[bkmg]", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SECRET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_LINE: Final = re.compile(r"(?P<name>[A-Za-z0-9_]+)='(?P<value>[^'\n]*)'", re.ASCII)
_TAKEN: Final = ("/run/secrets", APP_SECRETS, "/data", "/opt", "/proc", "/sys", "/dev", "/etc")


class ParameterError(InvalidError):
    """A parameter of a deployment cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """Limits of a SuperLink's or SuperNode's container; None: as compose/.env.example says."""

    memory: str | None = None  # "512m": bytes with suffix b, k, m or g
    cpus: float | None = None  # of one processor each

    def settings(self, role: str) -> dict[str, str]:
        """Return its part of the settings file.

        Raises:
            ParameterError: a limit is none.
        """
        return _limits(role, self.memory, self.cpus)


@dataclass(frozen=True, slots=True)
class Volume:
    """A folder of this host that apps see."""

    source: Path | str
    target: str  # absolute, in the container
    read_only: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """The container in which a side's apps run: its image, its limits, and what apps find in it.

    ``environment`` is shown by ``docker inspect``: no place for secrets.  ``secrets`` are files of
    this host by name; apps read them as ``/run/app-secrets/NAME``, and no other container sees
    them.
    """

    image: str | None = None  # of build_app_images; None: the plain one, with numpy
    memory: str | None = None  # "2g"; an app that takes more fails, its daemon does not
    cpus: float | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path | str] = field(default_factory=dict)
    volumes: Sequence[Volume] = ()

    def settings(self, role: str) -> dict[str, str]:
        """Return its part of the settings file.

        Raises:
            ParameterError: a limit is none.
        """
        image = {f"FLWR_{role.upper()}_IMAGE": self.image} if self.image else {}
        return {**_limits(role, self.memory, self.cpus), **image}

    def override(self) -> dict[str, Any]:
        """Return what its service gets beyond the compose files; empty for nothing.

        Raises:
            ParameterError: a name or file cannot be used; says what to do.
        """
        mounts = [_secret_mount(name, Path(path)) for name, path in self.secrets.items()]
        mounts += [_volume_mount(volume) for volume in self.volumes]
        environment = {name: _escaped(_checked(name, v)) for name, v in self.environment.items()}
        parts = {"environment": environment, "volumes": mounts}
        return {name: part for name, part in parts.items() if part}


def settings_text(settings: Mapping[str, str]) -> str:
    """Return the settings as a file that Compose reads literally.

    Raises:
        ParameterError: a value holds a quote or a line break.
    """
    for name, value in settings.items():
        if "'" in value or "\n" in value or not _NAME.fullmatch(name):
            raise ParameterError(
                f"the setting {name}={value!r} cannot be written to a settings file",
                hint="single quotes and line breaks are not possible; use double quotes",
            )
    return "".join(f"{name}='{value}'\n" for name, value in settings.items())


def read_settings(text: str) -> dict[str, str]:
    """Read back what ``settings_text`` wrote."""
    return {found["name"]: found["value"] for found in _LINE.finditer(text)}


def node_config(values: Mapping[str, bool | float | str]) -> str:
    """Return what apps are told of a node, as its SuperNode reads it.

    Raises:
        ParameterError: a text holds a quote or a backslash.
    """
    return " ".join(f"{name}={_literal(name, value)}" for name, value in values.items())


def _literal(name: str, value: bool | float | str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return repr(value)
    if set(value) & set("\"'\\\n$"):
        raise ParameterError(f"{name} of the node's config holds a quote or a special character")
    return f'"{value}"'


def _limits(role: str, memory: str | None, cpus: float | None) -> dict[str, str]:
    if memory is not None and not _MEMORY.fullmatch(memory):
        raise ParameterError(
            f"{role}: {memory!r} is no amount of memory", hint='write it as "512m" or "2g"'
        )
    if cpus is not None and cpus <= 0:
        raise ParameterError(f"{role}: {cpus} processors are not possible", hint="such as cpus=0.5")
    limits = {"MEMORY": memory, "CPUS": None if cpus is None else f"{cpus:g}"}
    return {f"FLWR_{role.upper()}_{k}": v for k, v in limits.items() if v is not None}


def _checked(name: str, value: str) -> str:
    if not _NAME.fullmatch(name) or name.startswith("FLWR_"):
        raise ParameterError(
            f"{name!r} is no name of a variable that apps can see",
            hint="letters, digits and _; names that begin with FLWR_ configure the runtime "
            "and go into settings=",
        )
    return value


def _escaped(value: str) -> str:
    return value.replace("$", "$$")  # Compose would take it for a variable


def _secret_mount(name: str, path: Path) -> dict[str, Any]:
    if not _SECRET.fullmatch(name):
        raise ParameterError(f"{name!r} is no name of a secret", hint="letters, digits, '.-_'")
    source = path.expanduser().absolute()
    if not source.is_file():
        raise ParameterError(f"secret {name}: there is no file {source}")
    if not _is_readable(source.stat()):
        raise ParameterError(
            f"secret {name}: the container's user {CONTAINER_ID} cannot read {source}",
            hint=f"chgrp {CONTAINER_ID} {source} && chmod 640 {source}",
        )
    return _bind(source, f"{APP_SECRETS}/{name}", read_only=True)


def _volume_mount(volume: Volume) -> dict[str, Any]:
    source, target = Path(volume.source).expanduser().absolute(), PurePosixPath(volume.target)
    if not source.is_dir():
        raise ParameterError(f"volume {volume.target}: there is no folder {source}")
    is_taken = any(target.is_relative_to(place) for place in _TAKEN)
    if not target.is_absolute() or len(target.parts) == 1 or ".." in target.parts or is_taken:
        raise ParameterError(
            f"volume {volume.target}: a volume cannot be there", hint="such as /mnt/models"
        )
    return _bind(source, str(target), read_only=volume.read_only)


def _bind(source: Path, target: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "type": "bind",
        "source": _escaped(str(source)),
        "target": target,
        "read_only": read_only,
        "bind": {"create_host_path": False},
    }


def _is_readable(file: Any) -> bool:
    """Tell whether the containers' user may read it."""
    mode = file.st_mode
    return bool(
        mode & stat.S_IROTH
        or (file.st_gid == CONTAINER_ID and mode & stat.S_IRGRP)
        or (file.st_uid == CONTAINER_ID and mode & stat.S_IRUSR)
    )
