"""How many workers a simulation gets: what this machine has, divided by what a client needs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from flwr.core.errors import FailedPreconditionError, InvalidError

_DEFAULT_CPUS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientNeeds:
    """What one ClientApp takes while it works."""

    cpus: float = _DEFAULT_CPUS
    gpus: float = 0.0
    memory: int = 0  # bytes; 0: nobody has said

    def __str__(self) -> str:
        named = [f"{self.cpus:g} CPU" + "s" * (self.cpus != 1)]
        if self.gpus:
            named.append(f"{self.gpus:g} GPU" + "s" * (self.gpus != 1))
        if self.memory:
            named.append(f"{self.memory / 1e6:.0f} MB")
        return ", ".join(named)


class ImpossibleNeedsError(FailedPreconditionError):
    """Not even one ClientApp would fit."""


def plan_workers(needs: ClientNeeds, *, nodes: int, cpus: int, wanted: int | None = None) -> int:
    """Return how many workers serve ``nodes`` virtual nodes.

    Args:
        needs: of one ClientApp.
        nodes: more workers than nodes are never of use.
        cpus: of this machine.
        wanted: somebody's decision; None: as many as fit.

    Raises:
        ImpossibleNeedsError: not even one ClientApp would fit; with the numbers.
        InvalidError: ``wanted`` is not positive.
    """
    if needs.gpus > 0:
        raise ImpossibleNeedsError(
            f"{needs.gpus} GPUs per ClientApp wanted, the process pool does not share out GPUs",
            hint="set num_gpus to 0: then every worker sees all GPUs of this machine",
        )
    if wanted is not None:
        if wanted < 1:
            raise InvalidError(f"{wanted} workers wanted", hint="give 1 or more")
        return min(wanted, nodes)
    fitting = math.floor(cpus / needs.cpus)
    if fitting < 1:
        raise ImpossibleNeedsError(
            f"{needs.cpus:g} CPUs per ClientApp wanted, this machine has {cpus}",
            hint="lower num_cpus of the client resources, or say how many workers to start",
        )
    return min(fitting, nodes)


def read_needs(resources: Mapping[str, Any]) -> ClientNeeds:
    """Read ``num_cpus``, ``num_gpus`` and ``memory`` (bytes); dashes are accepted.

    Raises:
        InvalidError: an unknown key, or no positive number.
    """
    named = {key.replace("-", "_"): value for key, value in resources.items()}
    if unknown := sorted(named.keys() - {"num_cpus", "num_gpus", "memory"}):
        raise InvalidError(f"there is no client resource named {', '.join(unknown)}")
    cpus, gpus = named.get("num_cpus", _DEFAULT_CPUS), named.get("num_gpus", 0.0)
    if not isinstance(cpus, int | float) or cpus <= 0:
        raise InvalidError(f"client resource num_cpus is {cpus!r}, it must be a positive number")
    if not isinstance(gpus, int | float) or gpus < 0:
        raise InvalidError(f"client resource num_gpus is {gpus!r}, it must be a number, 0 or more")
    memory = named.get("memory", 0)
    if not isinstance(memory, int | float) or memory < 0:
        raise InvalidError(f"client resource memory is {memory!r}, it must be a number of bytes")
    return ClientNeeds(cpus=float(cpus), gpus=float(gpus), memory=int(memory))
