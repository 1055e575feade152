"""Criterion: which clients may be sampled."""

from abc import ABC, abstractmethod

from flwr.server.client_proxy import ClientProxy


class Criterion(ABC):
    """Decides, client by client."""

    @abstractmethod
    def select(self, client: ClientProxy) -> bool:
        """Tell whether ``client`` may be sampled."""
