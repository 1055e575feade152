"""Keeping a ClientManager in step with the nodes of a Grid, while a legacy app runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from flwr.app.console_log import logger
from flwr.server.client_manager import ClientManager
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.serverapp.exception import RunNotRunningException
from flwr.serverapp.grid import Grid

_IDLE_S: Final = 5.0  # between two looks when nobody waits
_WAITING_S: Final = 0.25  # between two looks when somebody does
_ASKS: Final = ("num_available", "all", "sample")


@contextmanager
def registered(grid: Grid, client_manager: ClientManager) -> Iterator[None]:
    """Let ``client_manager`` know the nodes online, before every question to it and meanwhile.

    It waits for clients in its own way, so a thread registers those that come.
    """
    registrar = _Registrar(grid, client_manager)
    registrar.update()
    registrar.wrap_questions()
    thread = threading.Thread(target=registrar.keep_up, name="client-registration", daemon=True)
    thread.start()
    try:
        yield
    finally:
        registrar.stop()
        thread.join()


class _Registrar:
    def __init__(self, grid: Grid, client_manager: ClientManager) -> None:
        self._grid, self._manager = grid, client_manager
        self._run_id = grid.run.run_id
        self._known: dict[int, GridClientProxy] = {}
        self._updating = threading.RLock()
        self._changed = threading.Condition()
        self._asking = 0
        self._is_over = False
        self._wrapped: list[str] = []

    def update(self) -> None:
        """Register nodes that came, unregister those that left."""
        with self._updating:
            online = set(self._grid.get_node_ids())
            for node_id in sorted(self._known.keys() - online):
                self._manager.unregister(self._known.pop(node_id))
            # Sorted, so that a seeded sample chooses the same nodes again.
            for node_id in sorted(online - self._known.keys()):
                self._known[node_id] = GridClientProxy(node_id, self._grid, self._run_id)
                self._manager.register(self._known[node_id])

    def wrap_questions(self) -> None:
        """Look at the grid before each question; the manager may be of the app's own making."""
        for name in _ASKS:
            self._wrapped.append(name)
            setattr(self._manager, name, self._updating_first(getattr(self._manager, name)))

    def keep_up(self) -> None:
        """Update until stopped."""
        while self._pause():
            try:
                self.update()
            except RunNotRunningException:
                return  # the app itself hears of it at its next call
            except Exception:  # noqa: BLE001  the next look may succeed
                logger.warning("Looking for nodes failed, trying again", exc_info=True)

    def stop(self) -> None:
        """End ``keep_up`` and give the manager its own methods back."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()
        for name in self._wrapped:
            delattr(self._manager, name)

    def _pause(self) -> bool:
        """Wait, shorter while somebody asks; return False when it is over."""
        with self._changed:
            waited = self._changed.wait_for(lambda: self._is_over or self._asking > 0, _IDLE_S)
            if waited and not self._is_over:
                self._changed.wait_for(lambda: self._is_over, _WAITING_S)
            return not self._is_over

    def _updating_first(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def ask(*args: Any, **named: Any) -> Any:
            self.update()
            self._count(1)
            try:
                return method(*args, **named)
            finally:
                self._count(-1)

        return ask

    def _count(self, change: int) -> None:
        with self._changed:
            self._asking += change
            self._changed.notify_all()
