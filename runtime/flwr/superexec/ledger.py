"""What of a machine is taken by apps, and by how much an app has to wait."""

from collections.abc import Sequence
from dataclasses import dataclass

from flwr.core.capacity import PRECISION, AppNeeds, Machine


@dataclass(frozen=True, slots=True)
class Share:
    """What one app has of a machine."""

    needs: AppNeeds
    gpus: tuple[str, ...] = ()  # as CUDA names them


class Ledger:
    """Counts what is taken.

    Args:
        machine: what there is.
        gpus: names of its GPUs.
    """

    def __init__(self, machine: Machine, gpus: Sequence[str] = ()) -> None:
        self._machine = machine
        self._cpus, self._memory = 0.0, 0
        self._gpus = dict.fromkeys(gpus, 0.0)

    def can_ever_have(self, needs: AppNeeds) -> bool:
        """Tell whether there is so much when nothing is taken."""
        return self._machine.room_for(needs) > 0

    def take(self, needs: AppNeeds) -> Share | None:
        """Take what one app needs; None while there is too little."""
        if self.shortage(needs):
            return None
        share = Share(needs, self._choose(needs.gpus) or ())
        self.hold(share)
        return share

    def hold(self, share: Share) -> None:
        """Count what an app has already, be there so much or not."""
        self._count(share, 1)

    def give_back(self, share: Share) -> None:
        """The app has ended."""
        self._count(share, -1)

    def shortage(self, needs: AppNeeds) -> str:
        """Return what there is too little of just now: "1 CPU: 2 of 2 taken"; empty: nothing."""
        machine = self._machine
        if needs.cpus and self._cpus + needs.cpus > machine.cpus + PRECISION:
            taken = f"{self._cpus:g} of {machine.cpus:g} taken"
        elif needs.memory and self._memory + needs.memory > machine.memory:
            taken = f"{self._memory / 1e6:.0f} of {machine.memory / 1e6:.0f} MB taken"
        elif self._choose(needs.gpus) is None:
            taken = f"{sum(self._gpus.values()):g} of {len(self._gpus)} GPUs taken"
        else:
            return ""
        return f"{needs}: {taken}"

    def _choose(self, count: float) -> tuple[str, ...] | None:
        """Return GPUs with room; of those that apps share, the one with the least of it."""
        if count >= 1 or not count:
            free = [name for name, used in self._gpus.items() if used < PRECISION]
            return tuple(free[: int(count)]) if len(free) >= count else None
        usable = [name for name, used in self._gpus.items() if used + count <= 1 + PRECISION]
        return (max(usable, key=self._gpus.__getitem__),) if usable else None

    def _count(self, share: Share, sign: int) -> None:
        self._cpus += sign * share.needs.cpus
        self._memory += sign * share.needs.memory
        for name in share.gpus:
            used = self._gpus.get(name, 0.0) + sign * min(share.needs.gpus, 1.0)
            self._gpus[name] = max(used, 0.0)
