"""One deployed part of a federation: a compose project with its settings on disk.

What was asked for is in ``~/.flwr/deployments/NAME``: a settings file and, where needed, one more
compose file.  Both are plain: ``docker compose`` and ``scripts/federation.py`` take them as well.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypedDict

from flwr.core.home import flwr_home
from flwr.sdk.checkout import Checkout, clean_environment
from flwr.sdk.engine import ANSWER_S, compose_client, explained, require_engine, service_of
from flwr.sdk.errors import DeployError, DeploymentNotFoundError
from flwr.sdk.parameters import Executor, ParameterError, read_settings, settings_text

if TYPE_CHECKING:
    from python_on_whales import Container, DockerClient

HEALTHY_S: Final = 120.0
PREPARE_S: Final = 60.0
STOP_S: Final = 40.0  # above the grace period of every container
PULL_S: Final = 1800.0  # for images that come from a registry
_LEVELS: Final = 3  # of containers that wait for each other: stopped one after the other
_SETTINGS: Final = "settings.env"
_OVERRIDE: Final = "override.yaml"  # JSON, which is YAML
_SUBPROCESS: Final = "subprocess"  # the overlay without executors of their own
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


class Endpoint(TypedDict):
    """Where an API answers."""

    address: str  # host:port
    network: str | None  # the only Docker network that reaches it; None: published on this host


class ServiceStatus(TypedDict):
    """One container."""

    service: str
    image: str
    state: str  # created, running, restarting, exited, ...
    health: str  # starting, healthy, unhealthy; empty without a health check


class DeploymentStatus(TypedDict):
    """A whole deployment; fit for ``json.dumps``."""

    name: str
    services: list[ServiceStatus]
    endpoints: dict[str, Endpoint]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment is to be."""

    settings: Mapping[str, str]
    service: str  # of the executor
    executor: Executor
    overlays: Sequence[str]

    def override(self) -> dict[str, Any]:
        """Return what goes beyond the compose files, as one more; empty for nothing.

        Raises:
            ParameterError: it cannot be had.
        """
        given = self.executor.override()
        if given and _SUBPROCESS in self.overlays:
            raise ParameterError(
                f"with the overlay {_SUBPROCESS} there is no container {self.service}",
                hint="leave out the executor's environment, secrets and volumes, or the overlay",
            )
        return {"services": {self.service: given}} if given else {}


class Deployment(ABC):
    """What ``Server`` and ``Site`` have in common.

    As a context manager it is stopped at the block's end; its state stays for the next ``deploy``.
    """

    side: ClassVar[str]  # its compose file and overlays bear this name

    def __init__(self, name: str, folder: Path, settings: Mapping[str, str]) -> None:
        """Take what was deployed; users call ``deploy`` or ``attach`` instead."""
        self._name, self._folder, self._settings = name, folder, settings

    @classmethod
    def attach(cls, name: str) -> Self:
        """Return a deployment that was made earlier, by whichever process of this user.

        Raises:
            DeploymentNotFoundError: there is none of that name, or it is of the other side.
        """
        folder = _folder(name)
        settings = _read(folder / _SETTINGS)
        found = cls(name, folder, settings)
        if not settings or found._files[0].stem != cls.side:
            raise DeploymentNotFoundError(
                f"there is no {cls.side} called {name!r}: nothing deployed it, see {folder.parent}",
                hint=f"deploy it: {cls.__name__}.deploy({name!r}, ...)",
            )
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    @property
    def name(self) -> str:
        """Name of the compose project: prefix of its containers, networks and volumes."""
        return self._name

    @property
    def endpoints(self) -> dict[str, Endpoint]:
        """Where its APIs answer, by name; asks the engine.

        Raises:
            DeployError: the engine does not answer.
        """
        return self._endpoints(self._containers())

    def status(self) -> DeploymentStatus:
        """Return every container's state and health, and the endpoints, as the engine has them.

        Raises:
            DeployError: the engine does not answer.
        """
        containers = self._containers()
        services = [
            ServiceStatus(
                service=service,
                image=str(container.config.image),
                state=str(container.state.status),
                health=str(container.state.health.status) if container.state.health else "",
            )
            for service, container in sorted(containers.items())
        ]
        endpoints = self._endpoints(containers)
        return DeploymentStatus(name=self._name, services=services, endpoints=endpoints)

    def logs(self, service: str, *, tail: int = 200) -> str:
        """Return the last ``tail`` lines that a service's container printed.

        Raises:
            DeploymentNotFoundError: there is no such container; names those that exist.
            DeployError: the engine does not answer.
        """
        containers = self._containers()
        if service not in containers:
            raise DeploymentNotFoundError(
                f"{self._name} has no container {service!r}; it has: {', '.join(containers)}"
            )
        with explained("read a log"):
            return str(self._client().container.logs(containers[service], tail=tail))

    def down(self, *, forget: bool = False, timeout: float = STOP_S) -> None:
        """Stop and remove its containers and networks; may be called twice.

        Args:
            forget: remove its state, too: runs, or the nodes' unsent replies, and the settings.
            timeout: seconds until a container that does not stop is killed.

        Raises:
            DeployError: the engine does not answer.
        """
        if not (self._folder / _SETTINGS).exists():
            return  # forgotten already
        with explained("stop it"):
            self._client(limit_s=ANSWER_S + _LEVELS * timeout).compose.down(
                volumes=forget, remove_orphans=True, timeout=int(timeout), quiet=True
            )
        if forget:
            for file in (_SETTINGS, _OVERRIDE):
                (self._folder / file).unlink(missing_ok=True)
            self._folder.rmdir()

    # -- for the two sides ------------------------------------------------------------------

    @classmethod
    def _start(cls, name: str, plan: Plan, checkout: Checkout, timeout: float) -> Self:
        """Write the plan down, check what it needs, start it and wait until all is healthy."""
        require_engine()
        folder, override = _folder(name), plan.override()
        files = [checkout.compose / f"{cls.side}.yaml", *_overlays(checkout, cls.side, plan)]
        files += [folder / _OVERRIDE] if override else []
        compose = {"FLWR_FEDERATION": name, "COMPOSE_FILE": ":".join(map(str, files))}
        deployed = cls(name, folder, {**compose, **plan.settings})
        deployed._write(override)
        checkout.run(
            *("scripts/federation.py", "prepare", "--env-file", str(folder / _SETTINGS)),
            timeout=PREPARE_S,
            env=clean_environment(),
        )
        deployed._up(timeout)
        return deployed

    def _write(self, override: dict[str, Any]) -> None:
        """Write settings and override, unless the name belongs to the other side."""
        text, path = settings_text(self._settings), self._folder / _SETTINGS
        former = _read(path).get("COMPOSE_FILE", "").split(":")[0]
        if former and Path(former).stem != self.side:
            raise ParameterError(
                f"{self._name} is the name of a {Path(former).stem} already",
                hint="choose another, or forget that one: .attach(name).down(forget=True)",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        (self._folder / _OVERRIDE).write_text(json.dumps(override, indent=2), "utf-8")

    def _up(self, timeout: float) -> None:
        try:
            with explained("start it"):
                self._client(limit_s=timeout + PULL_S).compose.up(
                    detach=True, wait=True, wait_timeout=int(timeout), quiet=True
                )
        except DeployError as error:
            ill = [
                each["service"] for each in self.status()["services"] if each["health"] != "healthy"
            ]
            if ill:
                error.hint = f"read {type(self).__name__}.attach({self._name!r}).logs({ill[0]!r})"
            raise

    @abstractmethod
    def _endpoints(self, containers: "Mapping[str, Container]") -> dict[str, Endpoint]:
        """Return what its containers publish, by the name of the API."""

    @property
    def _files(self) -> list[Path]:
        return [Path(file) for file in self._settings.get("COMPOSE_FILE", "").split(":")]

    def _client(self, *, limit_s: float = ANSWER_S) -> "DockerClient":
        settings = self._folder / _SETTINGS
        return compose_client(self._name, self._files, settings, limit_s=limit_s)

    def _containers(self) -> "dict[str, Container]":
        """Return its containers by service, running or not."""
        client = self._client()
        with explained("list containers"):
            return {service_of(c.config.labels): c for c in client.compose.ps(all=True)}


def private_endpoint(address: str, container: "Container", network: str) -> Endpoint | None:
    """Return an endpoint that only one network of a container reaches; None without it."""
    networks = container.network_settings.networks or {}
    name = next((name for name in networks if name.endswith(f"_{network}")), None)
    return None if name is None else Endpoint(address=address, network=name)


def _folder(name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name!r} is no name of a deployment", hint="lower-case letters, digits, '-' and '_'"
        )
    return flwr_home() / "deployments" / name


def _read(path: Path) -> dict[str, str]:
    return read_settings(path.read_text("utf-8")) if path.is_file() else {}


def _overlays(checkout: Checkout, side: str, plan: Plan) -> list[Path]:
    folder = checkout.compose / "overlays"
    known = {file.name.split(".")[0]: file for file in folder.glob(f"*.{side}.yaml")}
    known.pop("beside-server", None)
    for overlay in plan.overlays:
        if overlay not in known:
            raise ParameterError(
                f"there is no overlay {overlay!r} for a {side}",
                hint=f"there are: {', '.join(sorted(known))}",
            )
    return [known[overlay] for overlay in plan.overlays]
