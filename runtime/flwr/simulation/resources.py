"""What a ClientApp of a simulation needs while it works, and how a person says it."""

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
