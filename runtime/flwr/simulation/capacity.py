"""How many ClientApps fit on the machines there are, and which requests can never be met."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from flwr.core.errors import InvalidError
from flwr.simulation.resources import ClientNeeds, ImpossibleNeedsError

_PRECISION: Final = 1e-4  # of shares, as Ray counts them


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

    def room_for(self, needs: ClientNeeds) -> int:
        """Return how many ClientApps it can run at the same time."""
        rooms = [_times(needs.cpus, self.cpus)]
        if needs.gpus >= 1:
            rooms.append(_times(needs.gpus, self.gpus))
        elif needs.gpus > 0:  # a fraction never spans two GPUs
            rooms.append(math.floor(self.gpus) * _times(needs.gpus, 1.0))
        if needs.memory:
            rooms.append(_times(needs.memory, self.memory))
        return min(rooms)

    def __str__(self) -> str:
        """Return it for a person."""
        said = f"{self.cpus:g} CPUs, {self.gpus:g} GPUs"
        return said if math.isinf(self.memory) else f"{said}, {self.memory / 1e6:.0f} MB"


def plan_workers(
    needs: ClientNeeds, machines: Sequence[Machine], *, nodes: int, wanted: int | None
) -> int:
    """Return how many workers serve ``nodes`` virtual nodes.

    Args:
        needs: of one ClientApp.
        machines: this one, or those of a cluster.
        nodes: more workers than nodes are never of use.
        wanted: somebody's decision; None: as many as fit.

    Raises:
        ImpossibleNeedsError: not even one ClientApp would fit; with the numbers.
        InvalidError: ``wanted`` is not positive, or there is no such share of a GPU.
    """
    if wanted is not None and wanted < 1:
        raise InvalidError(f"{wanted} workers wanted", hint="give 1 or more")
    if needs.gpus > 1 and needs.gpus != int(needs.gpus):
        raise InvalidError(
            f"{needs.gpus:g} GPUs per ClientApp wanted, only one GPU is shared out in fractions",
            hint="give a whole number, or a number below 1",
        )
    fitting = sum(machine.room_for(needs) for machine in machines)
    if fitting < 1:
        raise ImpossibleNeedsError(
            f"{needs} per ClientApp wanted, {_largest(machines)}",
            hint="lower the client resources, or use more or larger machines",
        )
    return min(fitting, nodes, *([] if wanted is None else [wanted]))


def share_out(gpus: Sequence[str], each: float, workers: int) -> list[tuple[str, ...]]:
    """Return for each worker the GPUs it may use; a fraction means one that others use as well.

    Args:
        gpus: names of those there are, enough for so many workers.
        each: how many a worker needs.
        workers: how many there are.
    """
    if each < 1:
        return [(gpus[number // _times(each, 1.0)],) if each else () for number in range(workers)]
    count = int(each)
    return [tuple(gpus[number * count : (number + 1) * count]) for number in range(workers)]


def _largest(machines: Sequence[Machine]) -> str:
    if not machines:
        return "the Ray cluster has no machine"
    best = max(machines, key=lambda machine: (machine.gpus, machine.cpus, machine.memory))
    if len(machines) == 1:
        return f"this machine has {best}"
    return f"the largest of {len(machines)} machines has {best}"


def _times(part: float, whole: float) -> int:
    if math.isinf(whole):
        return sys.maxsize
    return math.floor((whole + _PRECISION) / part)
