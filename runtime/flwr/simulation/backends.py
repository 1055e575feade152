"""The backends there are, by the name under which a person asks for one."""

import logging
from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import InvalidError
from flwr.simulation.backend import Backend, Order

log = logging.getLogger(__name__)

POOL: Final = "pool"
RAY: Final = "ray"
_HOMES: Final[Mapping[str, tuple[str, str]]] = {  # only the one that is used is imported
    POOL: ("flwr.simulation.pool_backend", "PoolBackend"),
    RAY: ("flwr.simulation.ray_backend", "RayBackend"),
}


def require_backend(name: str) -> None:
    """Refuse a name that is no backend.

    Raises:
        InvalidError: there is none of that name.
    """
    if name not in _HOMES:
        raise InvalidError(
            f"there is no simulation backend {name!r}",
            hint=f"use {POOL!r}, the process pool, or {RAY!r}",
        )


def make_backend(name: str, order: Order, clock: Clock) -> Backend:
    """Return the backend of that name, not started; where Ray is not installed, the pool.

    Raises:
        InvalidError: there is none of that name, or the order is contradictory.
        ImpossibleNeedsError: not even one ClientApp would fit; with the numbers.
    """
    require_backend(name)
    if name == RAY and order.setup.starts_fresh:
        if "address" in order.init_args:
            raise InvalidError(
                "a Ray cluster cannot start ClientApps fresh: Ray's processes must not be forked",
                hint=f'use {POOL!r}, the process pool, or app-start = "warm"',
            )
        log.info("The process pool is used: Ray's processes must not be forked for each message")
        name = POOL
    elif name == RAY and find_spec("ray") is None:
        log.info("Ray is not installed, the process pool is used")
        name = POOL
    module, kind = _HOMES[name]
    backend: Backend = getattr(import_module(module), kind)(order, clock)
    return backend
