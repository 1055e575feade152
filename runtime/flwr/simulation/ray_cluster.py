"""Ray itself: started on this machine for one run, or met where it runs already.

A Ray of our own listens on loopback alone, asks for a token made for the run, reports nothing to
anybody and keeps its files in a directory that goes with it.  To a cluster at a given address this
machine is added without any resources to share, because Ray talks to a program only through a node
on the program's own machine.
"""

import importlib
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any, Final

from flwr.core.capacity import Machine
from flwr.core.errors import FlwrError, InvalidError, UnavailableError
from flwr.simulation.ray_folder import new_folder
from flwr.simulation.ray_guard import guarded
from flwr.simulation.ray_store import store_size

log = logging.getLogger(__name__)

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SCHEDULER_EVENTS": "0",
    "RAY_worker_niceness": "0",  # the workers of the pool are not put last either
}
_OWN: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # all that says: no second machine, loopback will do
    "RAY_memory_monitor_refresh_ms": "0",  # it ends whoever began last, the kernel who takes most
}
_DEFAULTS: Final = {
    "logging_level": "WARNING",
    "log_to_driver": False,  # see ``ray_output``
    "include_dashboard": False,
}
_OF_A_NEW_ONE: Final = frozenset({"num_cpus", "num_gpus", "resources", "object_store_memory"})
# What Ray says on a machine that does much else: of its first raylet, and of its GCS, twice.
_LATE: Final = ("timed out during startup", "Timed out waiting for file", "Failed to start GCS")
_ANSWERS_WITHIN_S: Final = 5.0
_ENDS_WITHIN_S: Final = 10.0
_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


class RayCluster:
    """A Ray that is up, and how this program got to it.

    Args:
        init_args: arguments of ``ray.init``; with an ``address`` a running cluster is used.
        cpus: what a Ray of our own shares out, unless ``init_args`` say it.

    Raises:
        InvalidError: Ray knows no such argument, or no such value.
        UnavailableError: Ray cannot be started here, or nothing answers at the address.
    """

    def __init__(self, init_args: Mapping[str, Any], *, cpus: int) -> None:
        said = {key.replace("-", "_"): value for key, value in init_args.items()}
        self.address: Final[str | None] = said.pop("address", None) or os.environ.get("RAY_ADDRESS")
        self.shows_output: Final = bool(said.pop("log_to_driver", True))
        self._cleanup = ExitStack()
        try:
            with self._cleanup:
                if self.address in {None, "local"}:
                    self.ray = self._start({"num_cpus": cpus, **said})
                else:
                    self.ray = self._meet(str(self.address), said)
                self._cleanup = self._cleanup.pop_all()
        except FlwrError:
            raise
        except (TypeError, ValueError) as cause:
            raise InvalidError(
                f"Ray refuses its settings: {cause}", hint="correct init_args of the backend"
            ) from cause
        except Exception as cause:  # Ray raises plain ones, too
            raise UnavailableError(f"Ray cannot be used: {_first_line(cause)}") from cause

    @property
    def machines(self) -> list[Machine]:
        """What its live machines share out."""
        return [Machine.from_resources(n["Resources"]) for n in self.ray.nodes() if n["Alive"]]

    @property
    def where(self) -> str:
        """Where it runs, for a person."""
        if self.address in {None, "local"}:
            return "this machine"
        useful = sum(machine.cpus > 0 or machine.gpus > 0 for machine in self.machines)
        return f"{useful} machine{'s' * (useful != 1)} of the Ray cluster at {self.address}"

    def close(self) -> None:
        """Leave it; one of our own ends, with all its processes and files."""
        self._cleanup.close()

    def _start(self, said: dict[str, Any]) -> Any:
        variables = _QUIET | _OWN | _token()
        ray = _import_ray(variables)
        if ray.is_initialized():  # by the script we are called from, which ends it, too
            return ray
        folder = self._cleanup.enter_context(new_folder())
        self._cleanup.enter_context(guarded(folder))
        with _environment(variables), _signal_handlers_kept():
            self._cleanup.callback(ray.shutdown)
            settings = {**_DEFAULTS, "object_store_memory": store_size(), **said}
            try:
                ray.init(address="local", _temp_dir=str(folder), **settings)
            except Exception as cause:
                if not any(words in str(cause) for words in _LATE):
                    raise
                log.info("Ray was not up within its 30 s, trying once more")
                ray.shutdown()
                ray.init(address="local", _temp_dir=str(folder), **settings)
        return ray

    def _meet(self, address: str, said: dict[str, Any]) -> Any:
        ray = _import_ray(_QUIET)
        if ray.is_initialized():
            return ray
        if contradictions := sorted(_OF_A_NEW_ONE & said.keys()):
            raise InvalidError(
                f"init_args have {', '.join(contradictions)}, which a Ray cluster decides itself",
                hint=f"leave that out, or leave out the address {address}",
            )
        if address != "auto":
            own_ip = _reach(address)
            said["_node_ip_address"] = own_ip
            self._cleanup.callback(_end, _join(address, own_ip))
        with _environment(_QUIET), _signal_handlers_kept():
            self._cleanup.callback(ray.shutdown)
            ray.init(address=address, **_DEFAULTS | said)
        return ray


def _import_ray(variables: Mapping[str, str]) -> Any:
    """Return the module ``ray``, which reads some of its settings while it is imported."""
    with _environment(variables):
        return importlib.import_module("ray")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables nobody has set, for Ray and the processes it starts; not for the app's."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@cache
def _token() -> dict[str, str]:
    """Return what keeps other users of this machine out of our Ray.

    Ray decides once per process whether it uses a token, and which.
    """
    if "ray" in sys.modules or "RAY_AUTH_MODE" in os.environ:
        return {}
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    """Undo that Ray takes the signals that end a run."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reach(address: str) -> str:
    """Return by which of our own IP addresses a cluster is reached; Ray would wait two minutes.

    Raises:
        InvalidError: the address has another form.
        UnavailableError: nothing answers there.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in address or not port.isdecimal():
        raise InvalidError(
            f"{address!r} is no address of a Ray cluster", hint="give HOST:PORT, or auto"
        )
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWERS_WITHIN_S) as reached:
            return str(reached.getsockname()[0])
    except OSError as cause:
        raise UnavailableError(
            f"no Ray cluster answers at {address}: {cause}",
            hint="start one: ray start --head, and open its ports",
        ) from cause


def _join(address: str, own_ip: str) -> subprocess.Popen[bytes]:
    """Make this machine a node of the cluster that shares nothing out."""
    argv = [sys.executable, "-P", "-m", "flwr.simulation.ray_node", "start", "--block"]
    argv += [f"--address={address}", f"--node-ip-address={own_ip}", "--num-cpus=0", "--num-gpus=0"]
    argv.append(f"--object-store-memory={store_size()}")
    return subprocess.Popen(
        argv,
        env={**os.environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _first_line(cause: Exception) -> str:
    return next(iter(str(cause).splitlines()), type(cause).__name__)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_ENDS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
