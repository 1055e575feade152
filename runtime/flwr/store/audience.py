"""Who is told of commits: first memories, which forget what is wrong now, then those who wait."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

logger: Final = logging.getLogger(__name__)

Listener = Callable[[frozenset[str]], None]


class Audience:
    """The listeners of one store; used by any thread."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._memories: tuple[Listener, ...] = ()
        self._listeners: tuple[Listener, ...] = ()

    def admit(self, listener: Listener) -> None:
        """Tell one more, after every memory."""
        self._listeners = (*self._listeners, listener)

    def admit_memory(self, forget: Listener) -> None:
        """Tell one more memory."""
        self._memories = (*self._memories, forget)

    def tell_memories(self, topics: frozenset[str]) -> None:
        """Tell memories alone: before anybody reads or writes again."""
        _tell(self._memories, topics)

    def tell_listeners(self, topics: frozenset[str]) -> None:
        """Tell those who wait."""
        _tell(self._listeners, topics)

    def tell(self, topics: frozenset[str]) -> None:
        """Tell all."""
        _tell((*self._memories, *self._listeners), topics)


def _tell(listeners: Iterable[Listener], topics: frozenset[str]) -> None:
    if not topics:
        return
    for listener in listeners:
        try:
            listener(topics)
        except Exception:
            logger.exception("A listener failed", extra={"event": "store.listener-failed"})
