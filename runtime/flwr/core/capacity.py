"""What an app needs while it runs, what a machine has, and how many apps that makes."""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flwr.core.errors import InvalidError

PRECISION: Final = 1e-4  # of shares, as Ray counts them
_MB: Final = 1e6
_DEFAULT_CPUS: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppNeeds:
    """What one app takes while it runs; 0: nobody has said.

    Raises:
        InvalidError: there is no such share of a GPU.
    """

    cpus: float = _DEFAULT_CPUS
    gpus: float = 0.0
    memory: int = 0  # bytes

    def __post_init__(self) -> None:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise InvalidError(
                f"{self.gpus:g} GPUs for one app wanted, only one GPU is shared out in fractions",
                hint="give a whole number, or a number below 1",
            )

    def __str__(self) -> str:
        named = [_counted(self.cpus, "CPU")] if self.cpus else []
        if self.gpus:
            named.append(_counted(self.gpus, "GPU"))
        if self.memory:
            named.append(f"{self.memory / _MB:.0f} MB")
        return ", ".join(named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What one machine shares out, whoever uses it at the moment."""

    cpus: float
    gpus: float = 0.0
    memory: float = math.inf  # bytes

    @classmethod
    def from_resources(cls, resources: Mapping[str, float]) -> "Machine":
        """Read what Ray says of a node."""
        return cls(
            cpus=resources.get("CPU", 0.0),
            gpus=resources.get("GPU", 0.0),
            memory=resources.get("memory", 0.0),
        )

    def room_for(self, needs: AppNeeds) -> int:
        """Return how many apps it can run at the same time."""
        rooms = [times(needs.cpus, self.cpus)]
        if needs.gpus >= 1:
            rooms.append(times(needs.gpus, self.gpus))
        elif needs.gpus > 0:  # a fraction never spans two GPUs
            rooms.append(math.floor(self.gpus) * times(needs.gpus, 1.0))
        rooms.append(times(needs.memory, self.memory))
        return min(rooms)

    def __str__(self) -> str:
        """Return it for a person."""
        said = f"{_counted(self.cpus, 'CPU')}, {_counted(self.gpus, 'GPU')}"
        return said if math.isinf(self.memory) else f"{said}, {self.memory / _MB:.0f} MB"


def times(part: float, whole: float) -> int:
    """Return how many times ``part`` goes into ``whole``; any number where either has no bound."""
    if not part or math.isinf(whole):
        return sys.maxsize
    return math.floor((whole + PRECISION) / part)


def _counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' * (number != 1)}"
