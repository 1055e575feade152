"""A strategy of its own, on the abstract class, with a criterion."""

import numpy as np

from flwr.common import (
    Context,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    Parameters,
    Scalar,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.criterion import Criterion
from flwr.server.strategy import Strategy
from flwr.server.strategy.aggregate import aggregate, weighted_loss_avg


class Everybody(Criterion):
    def select(self, client: ClientProxy) -> bool:
        return client.cid.isdigit()


class Slow(Strategy):
    """Moves half of the way to the mean."""

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters:
        return ndarrays_to_parameters([np.linspace(-1, 1, 3)])

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        self.current = parameters_to_ndarrays(parameters)
        clients = client_manager.sample(2, min_num_clients=2, criterion=Everybody())
        return [(client, FitIns(parameters, {"round": server_round})) for client in clients]

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        print(f"fit {server_round}: {len(results)} {len(failures)}", flush=True)
        models = [(parameters_to_ndarrays(r.parameters), r.num_examples) for _, r in results]
        models.sort(key=lambda pair: pair[1])  # the order of the replies is left to chance
        mean = aggregate(models)
        model = [(old + new) / 2 for old, new in zip(self.current, mean, strict=True)]
        print(f"model {server_round}: {[layer.tolist() for layer in model]}", flush=True)
        return ndarrays_to_parameters(model), {"examples": sum(n for _, n in models)}

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        ins = EvaluateIns(parameters, {})
        return [(client, ins) for client in client_manager.all().values()]

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        causes = [type(failure).__name__ for failure in failures]
        print(f"evaluate {server_round}: {len(results)} {causes}", flush=True)
        loss = weighted_loss_avg([(r.num_examples, r.loss) for _, r in results])
        return loss, min((r.metrics for _, r in results), key=lambda m: int(m["partition"]))

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        return None


def server_fn(context: Context) -> ServerAppComponents:
    config = ServerConfig(num_rounds=int(context.run_config["num-rounds"]))
    return ServerAppComponents(strategy=Slow(), config=config)


app = ServerApp(server_fn=server_fn)
