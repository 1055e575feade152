"""FedAvg with every function it takes."""

from flwr.common import Config, Context, Metrics, NDArrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg

Weighted = list[tuple[int, Metrics]]


def evaluate(server_round: int, parameters: NDArrays, config: Config) -> tuple[float, Metrics]:
    total = sum(float(layer.sum()) for layer in parameters)
    print(f"model {server_round}: {[layer.tolist() for layer in parameters]}", flush=True)
    return total, {"layers": len(parameters), "config": str(config)}


def fold_fit(metrics: Weighted) -> Metrics:
    return {"calls": sum(int(m["calls"]) for _, m in metrics), "kind": metrics[0][1]["kind"]}


def fold_evaluate(metrics: Weighted) -> Metrics:
    total = sum(n for n, _ in metrics)
    return {"mean": sum(n * float(m["mean"]) for n, m in metrics) / total}


def server_fn(context: Context) -> ServerAppComponents:
    strategy = FedAvg(
        evaluate_fn=evaluate,
        on_fit_config_fn=lambda server_round: {"step": server_round, "raw": b"\x00\xff"},
        on_evaluate_config_fn=lambda server_round: {"round": server_round},
        fit_metrics_aggregation_fn=fold_fit,
        evaluate_metrics_aggregation_fn=fold_evaluate,
    )
    config = ServerConfig(num_rounds=int(context.run_config["num-rounds"]), round_timeout=300.0)
    return ServerAppComponents(strategy=strategy, config=config)


app = ServerApp(server_fn=server_fn)
