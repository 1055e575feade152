"""What a ClientApp of a simulation needs while it works, and how a person says it."""

from collections.abc import Mapping
from typing import Any, Final

from flwr.core.capacity import AppNeeds
from flwr.core.errors import FailedPreconditionError, InvalidError

_DEFAULT: Final = AppNeeds()


class ImpossibleNeedsError(FailedPreconditionError):
    """Not even one ClientApp would fit."""


def read_needs(resources: Mapping[str, Any]) -> AppNeeds:
    """Read ``num_cpus``, ``num_gpus`` and ``memory`` (bytes); dashes are accepted.

    Raises:
        InvalidError: an unknown key, or no positive number.
    """
    named = {key.replace("-", "_"): value for key, value in resources.items()}
    if unknown := sorted(named.keys() - {"num_cpus", "num_gpus", "memory"}):
        raise InvalidError(f"there is no client resource named {', '.join(unknown)}")
    cpus, gpus = named.get("num_cpus", _DEFAULT.cpus), named.get("num_gpus", 0.0)
    if not isinstance(cpus, int | float) or cpus <= 0:
        raise InvalidError(f"client resource num_cpus is {cpus!r}, it must be a positive number")
    if not isinstance(gpus, int | float) or gpus < 0:
        raise InvalidError(f"client resource num_gpus is {gpus!r}, it must be a number, 0 or more")
    memory = named.get("memory", 0)
    if not isinstance(memory, int | float) or memory < 0:
        raise InvalidError(f"client resource memory is {memory!r}, it must be a number of bytes")
    return AppNeeds(cpus=float(cpus), gpus=float(gpus), memory=int(memory))
