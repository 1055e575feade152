"""ClientManager: the clients a legacy server knows, and sampling among them."""

import logging
import random
import threading
from abc import ABC, abstractmethod
from typing import Final

from flwr.app.console_log import log
from flwr.server.client_proxy import ClientProxy
from flwr.server.criterion import Criterion

_DAY_S: Final = 86_400


class ClientManager(ABC):
    """Knows clients."""

    @abstractmethod
    def num_available(self) -> int:
        """Return how many clients there are."""

    @abstractmethod
    def register(self, client: ClientProxy) -> bool:
        """Add ``client``; False if it was there."""

    @abstractmethod
    def unregister(self, client: ClientProxy) -> None:
        """Forget ``client``."""

    @abstractmethod
    def all(self) -> dict[str, ClientProxy]:
        """Return all clients by their ids."""

    @abstractmethod
    def wait_for(self, num_clients: int, timeout: int) -> bool:
        """Wait ``timeout`` seconds for so many clients; tell whether they are there."""

    @abstractmethod
    def sample(
        self,
        num_clients: int,
        min_num_clients: int | None = None,
        criterion: Criterion | None = None,
    ) -> list[ClientProxy]:
        """Return ``num_clients`` different clients, chosen by chance."""


class SimpleClientManager(ClientManager):
    """Clients in a dictionary; safe to use from several threads."""

    def __init__(self) -> None:
        self.clients: dict[str, ClientProxy] = {}
        self._cv = threading.Condition()

    def __len__(self) -> int:
        return len(self.clients)

    def num_available(self) -> int:
        """Return how many clients there are."""
        return len(self)

    def wait_for(self, num_clients: int, timeout: int = _DAY_S) -> bool:
        """Wait ``timeout`` seconds for so many clients; tell whether they are there."""
        with self._cv:
            return self._cv.wait_for(lambda: len(self.clients) >= num_clients, timeout=timeout)

    def register(self, client: ClientProxy) -> bool:
        """Add ``client``; False if one of its id was there."""
        with self._cv:
            if client.cid in self.clients:
                return False
            self.clients[client.cid] = client
            self._cv.notify_all()
            return True

    def unregister(self, client: ClientProxy) -> None:
        """Forget the client of this id."""
        with self._cv:
            self.clients.pop(client.cid, None)

    def all(self) -> dict[str, ClientProxy]:
        """Return all clients by their ids."""
        return self.clients

    def sample(
        self,
        num_clients: int,
        min_num_clients: int | None = None,
        criterion: Criterion | None = None,
    ) -> list[ClientProxy]:
        """Return ``num_clients`` different clients, chosen by chance; none if there are too few.

        Args:
            num_clients: how many.
            min_num_clients: wait until there are so many; ``num_clients`` if absent.
            criterion: who may be chosen; everybody if absent.
        """
        self.wait_for(num_clients if min_num_clients is None else min_num_clients)
        with self._cv:
            present = dict(self.clients)
        eligible = [
            cid for cid, client in present.items() if criterion is None or criterion.select(client)
        ]
        if num_clients > len(eligible):
            log(
                logging.INFO,
                "Sampling failed: number of available clients (%s) is less than number of "
                "requested clients (%s).",
                len(eligible),
                num_clients,
            )
            return []
        # No secret depends on it, and apps seed it to repeat an experiment.
        return [present[cid] for cid in random.sample(eligible, num_clients)]
