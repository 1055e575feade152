"""When a commit survives a power cut: at once, before it is answered for, or with a later one.

It survives ``kill -9`` in any case, and a later commit never outlives an earlier one: a power cut
takes the newest commits, if any, and of these only such as nobody was promised (ADR-0022).
"""

from enum import Enum, auto


class Durability(Enum):
    """What a transaction is waited for, and by whom."""

    TOLD = auto()
    """Durable before anybody hears of it: neither who waits for its topics, nor its caller."""
    ANSWERED = auto()
    """Durable before its caller has its answer; who waits for its topics hears of it at once."""
    KEPT = auto()
    """As ``LATER`` for a power cut; no program's crash takes it, the database server's neither."""
    LATER = auto()
    """Durable with whatever is next: nobody was promised anything, it can be done again."""
