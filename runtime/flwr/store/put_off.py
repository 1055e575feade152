"""Writes that are put off until anything is written or read: whoever looks finds them made.

What is put off is lost if the program is killed, so it must be something that nobody was promised.
"""

import logging
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import OperationalError

from flwr.store.transactions import Tx

logger: Final = logging.getLogger(__name__)

Write = Callable[[Tx], None]


class PutOff:
    """Writes in the order they were put off, each by a key; changed by whoever has the turn."""

    def __init__(self) -> None:
        """Begin with none."""
        self._writes: dict[str, Write] = {}

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._writes)

    def make(self, tx: Tx, *, but: str | None) -> tuple[str, ...]:
        """Make them in ``tx``, which takes one of them over; return the keys of all.

        They stay until ``forget``: the transaction may be rolled back.
        """
        keys = tuple(self._writes)
        for key in keys:
            if key == but:
                tx.taken_over = self._writes[key]
            else:
                self._make(tx, key)
        return keys

    def _make(self, tx: Tx, key: str) -> None:
        try:
            self._writes[key](tx)
        except OperationalError:  # the disk is full; whoever is next tries again
            raise
        except Exception:  # a bug of ours must not keep everybody from the store for ever
            del self._writes[key]
            logger.exception("Dropped a write that cannot be made", extra={"event": "bug"})
            raise

    def settle(self, made: tuple[str, ...], new: dict[str, Write]) -> None:
        """Note that a transaction committed that made some, and puts off others."""
        for key in made:
            self._writes.pop(key, None)
        self._writes.update(new)
