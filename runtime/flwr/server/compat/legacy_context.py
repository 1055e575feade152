"""LegacyContext: a Context that also carries the parts of a legacy app, for workflows."""

from dataclasses import dataclass

from flwr.app.context import Context
from flwr.server.client_manager import ClientManager, SimpleClientManager
from flwr.server.history import History
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.strategy.strategy import Strategy


@dataclass(init=False)
class LegacyContext(Context):
    """What a workflow needs.

    Attributes:
        config: how long the run goes on.
        strategy: whom to ask and how to fold the answers.
        client_manager: the clients.
        history: losses and metrics so far.
    """

    config: ServerConfig
    strategy: Strategy
    client_manager: ClientManager
    history: History

    def __init__(
        self,
        context: Context,
        config: ServerConfig | None = None,
        strategy: Strategy | None = None,
        client_manager: ClientManager | None = None,
    ) -> None:
        super().__init__(
            run_id=context.run_id,
            node_id=context.node_id,
            node_config=context.node_config,
            state=context.state,
            run_config=context.run_config,
        )
        self.config = ServerConfig() if config is None else config
        self.strategy = FedAvg() if strategy is None else strategy
        self.client_manager = SimpleClientManager() if client_manager is None else client_manager
        self.history = History()
