"""How many ClientApps fit on the machines there are, and which requests can never be met."""

from collections.abc import Sequence

from flwr.core.capacity import AppNeeds, Machine, times
from flwr.core.errors import InvalidError
from flwr.simulation.resources import ImpossibleNeedsError


def plan_workers(
    needs: AppNeeds, machines: Sequence[Machine], *, nodes: int, wanted: int | None
) -> int:
    """Return how many workers serve ``nodes`` virtual nodes.

    Args:
        needs: of one ClientApp.
        machines: this one, or those of a cluster.
        nodes: more workers than nodes are never of use.
        wanted: somebody's decision; None: as many as fit.

    Raises:
        ImpossibleNeedsError: not even one ClientApp would fit; with the numbers.
        InvalidError: ``wanted`` is not positive.
    """
    if wanted is not None and wanted < 1:
        raise InvalidError(f"{wanted} workers wanted", hint="give 1 or more")
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
        return [(gpus[number // times(each, 1.0)],) if each else () for number in range(workers)]
    count = int(each)
    return [tuple(gpus[number * count : (number + 1) * count]) for number in range(workers)]


def _largest(machines: Sequence[Machine]) -> str:
    if not machines:
        return "the Ray cluster has no machine"
    best = max(machines, key=lambda machine: (machine.gpus, machine.cpus, machine.memory))
    if len(machines) == 1:
        return f"this machine has {best}"
    return f"the largest of {len(machines)} machines has {best}"
