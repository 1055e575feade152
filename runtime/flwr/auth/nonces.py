"""Values that may be used once within a window; memory is bounded and freed by time."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime
from typing import Final

from flwr.core.errors import UnavailableError

MAX_NONCES: Final = 65_536  # live at once: over 200 calls a second for the whole window


class NonceBook:
    """Remembers used values until they lapse; thread-safe."""

    def __init__(self, max_nonces: int = MAX_NONCES) -> None:
        self._max_nonces = max_nonces
        self._used: OrderedDict[Hashable, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def use(self, nonce: Hashable, *, until: datetime, now: datetime) -> bool:
        """Note a use; False when there was one before.

        Args:
            nonce: the value.
            until: the instant from which the window refuses it anyway.
            now: the present instant.

        Raises:
            UnavailableError: too many are remembered.
        """
        with self._lock:
            if nonce in self._used:
                return False
            self._forget(now)
            if len(self._used) >= self._max_nonces:
                raise UnavailableError("too many signed calls at once, try again later")
            self._used[nonce] = until
            return True

    def _forget(self, now: datetime) -> None:
        """Drop what has lapsed; entries are nearly in order, all are looked at only when full."""
        if len(self._used) >= self._max_nonces:
            self._used = OrderedDict(entry for entry in self._used.items() if entry[1] > now)
        while self._used and self._used[next(iter(self._used))] <= now:
            self._used.popitem(last=False)
