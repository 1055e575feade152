"""Federations: one, open to every node, until accounts and membership arrive."""

from typing import Final

DEFAULT_FEDERATION: Final = "@none/default"
_ALIASES: Final = frozenset({"", "default", DEFAULT_FEDERATION})  # 1.24 and 1.25 send "default"


def resolve_federation(name: str) -> str | None:
    """Return the full name of the federation a user means, None when there is none such."""
    return DEFAULT_FEDERATION if name in _ALIASES else None
