"""Federations: one, open, holding every node and every run of this SuperLink."""

from dataclasses import dataclass

from flwr.core.errors import NotFoundError
from flwr.core.federation import DEFAULT_FEDERATION, resolve_federation
from flwr.core.node import Node
from flwr.core.run import Run


class FederationNotFoundError(NotFoundError):
    """No federation has this name."""

    def __init__(self, name: str) -> None:
        """Name the federation, and the one that exists."""
        super().__init__(
            f"Federation '{name}' does not exist",
            hint=f"leave the name empty for the default, {DEFAULT_FEDERATION}",
        )
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """What a member sees of a federation."""

    name: str
    description: str = ""
    nodes: tuple[Node, ...] = ()
    runs: tuple[Run, ...] = ()
    is_simulation: bool = False


def require_federation(name: str) -> str:
    """Return the full name of the federation a user means.

    Raises:
        FederationNotFoundError: there is none of that name.
    """
    found = resolve_federation(name)
    if found is None:
        raise FederationNotFoundError(name)
    return found
