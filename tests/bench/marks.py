"""What the app of the kit prints: when its rounds ended."""

import itertools
import re
from dataclasses import dataclass
from typing import Final, Self

_MARK: Final = re.compile(r"bench-mark (\w+) (\d+) ([\d.]+)")


class NoMarksError(Exception):
    """A run ended without the marks that a measurement needs."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Instants of a run by phase and number; number 0 is the beginning of a phase."""

    instants: dict[tuple[str, int], float]

    @classmethod
    def read(cls, text: str) -> Self:
        """Find the marks in a log; a line that came twice counts once."""
        return cls({(p, int(n)): float(t) for p, n, t in _MARK.findall(text)})

    def times(self, phase: str) -> list[float]:
        """Return the instants of a phase: its beginning, then each round's end."""
        return [at for (name, _), at in sorted(self.instants.items()) if name == phase]

    def rounds(self, phase: str) -> list[float]:
        """Return the seconds that each round of a phase took."""
        ends = self.times(phase)
        return [later - earlier for earlier, later in itertools.pairwise(ends)]

    def window(self, phase: str) -> tuple[float, float]:
        """Return the first and the last instant of a phase."""
        ends = self.times(phase)
        if len(ends) < 2:
            raise NoMarksError(f"no round of the phase {phase!r} has ended")
        return ends[0], ends[-1]
