"""Topics of wake-ups that mean the same to everybody; a program names its own beside its rules."""

import hashlib
from typing import Final

EVERY_TOPIC: Final = "*"
"""Rings every bell: something may have happened unheard."""


def node_gone(public_key: bytes) -> str:
    """Return the topic of a node's key: the node was unregistered."""
    return f"gone:{hashlib.sha256(public_key).hexdigest()}"


def lease_ended(token_hash: str) -> str:
    """Return the topic of a launch token: its lease has ended."""
    return f"lease:{token_hash}"
