"""A server and a strategy of its own, which asks clients what they are before they train."""

from flwr.common import Context, FitIns, FitRes, GetPropertiesIns, Parameters, Scalar
from flwr.server import (
    Server,
    ServerApp,
    ServerAppComponents,
    ServerConfig,
    SimpleClientManager,
)
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.server import FitResultsAndFailures
from flwr.server.strategy import FedAvg


class ByPartition(FedAvg):
    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        instructions = super().configure_fit(server_round, parameters, client_manager)
        known = []
        for client, _ in instructions:
            answer = client.get_properties(GetPropertiesIns({"what": "all"}), 300.0, server_round)
            client.properties = answer.properties
            known.append((answer.properties["partition"], client))
        known.sort(key=lambda pair: pair[0])
        print(f"known {server_round}: {[c.properties for _, c in known]}", flush=True)
        refuse = 1 if server_round == 2 else -1
        return [(c, FitIns(parameters, {"refuse": refuse})) for _, c in known]

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        refused = [f[1].status.message for f in failures if isinstance(f, tuple)]
        texts = sorted(r.parameters.tensors[1] for _, r in results)
        print(f"fit {server_round}: {texts} {refused}", flush=True)
        return Parameters([b"", texts[0]], "text"), {"texts": len(texts)}


class Counting(Server):
    def fit_round(
        self, server_round: int, timeout: float | None
    ) -> tuple[Parameters | None, dict[str, Scalar], FitResultsAndFailures] | None:
        print(f"round {server_round} begins, timeout {timeout}", flush=True)
        return super().fit_round(server_round, timeout)


def server_fn(context: Context) -> ServerAppComponents:
    server = Counting(client_manager=SimpleClientManager(), strategy=ByPartition())
    config = ServerConfig(int(context.run_config["num-rounds"]), 300.0)
    return ServerAppComponents(server=server, config=config)


app = ServerApp(server_fn=server_fn)
