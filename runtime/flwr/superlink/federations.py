"""Federations: one, open, holding every node and every run of this SuperLink."""

from dataclasses import dataclass

from flwr.core.errors import NotFoundError
from flwr.core.federation import DEFAULT_FEDERATION, resolve_federation
from flwr.core.node import Node
from flwr.core.run import Run
from flwr.core.simulation import SimulationConfig


class FederationNotFoundError(NotFoundError):
    """No federation has this name."""

    def __init__(self, name: str) -> None:
        """Name the federation, and the one that exists."""
        super().__init__(
            f"Federation '{name}' does not exist",
            hint=f"leave the name empty for the default, {DEFAULT_FEDERATION}",
        )
        self.name = name


class NotSimulatedError(NotFoundError):
    """The federation has SuperNodes: there is no simulation to configure."""

    def __init__(self, name: str) -> None:
        """Name the federation."""
        super().__init__(
            f"federation {name} is not simulated: its runs are executed by SuperNodes",
            hint="only a SuperLink started with --simulation has settings of a simulation",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """What a member sees of a federation."""

    name: str
    description: str = ""
    nodes: tuple[Node, ...] = ()
    runs: tuple[Run, ...] = ()
    config: SimulationConfig | None = None  # of a simulated one

    @property
    def is_simulation(self) -> bool:
        """True when its runs are executed as simulations."""
        return self.config is not None


def require_federation(name: str) -> str:
    """Return the full name of the federation a user means.

    Raises:
        FederationNotFoundError: there is none of that name.
    """
    found = resolve_federation(name)
    if found is None:
        raise FederationNotFoundError(name)
    return found
