"""A NumPyClient that remembers, in the Context, how often it trained."""

import numpy as np

from flwr.client import Client, ClientApp, NumPyClient
from flwr.common import Config, ConfigRecord, Context, NDArrays, Scalar


class Remembering(NumPyClient):
    def __init__(self, context: Context) -> None:
        self.partition = int(context.node_config["partition-id"])
        self.state = context.state

    def get_parameters(self, config: Config) -> NDArrays:
        return [np.zeros((2, 3)), np.asarray(1.0)]

    def fit(self, parameters: NDArrays, config: Config) -> tuple[NDArrays, int, dict[str, Scalar]]:
        before = self.state["calls"]["n"] if "calls" in self.state else 0
        self.state["calls"] = ConfigRecord({"n": before + 1})
        # Eighths, and shares that are powers of two: sums are exact in any order.
        examples = 2 ** max(self.partition - 1, 0)
        trained = [layer + float(config["step"]) * (self.partition + 1) / 8 for layer in parameters]
        return trained, examples, {"calls": before + 1, "kind": "numpy"}

    def evaluate(
        self, parameters: NDArrays, config: Config
    ) -> tuple[float, int, dict[str, Scalar]]:
        return float(parameters[0].sum()), 4, {"mean": float(parameters[0].mean())}


def client_fn(context: Context) -> Client:
    return Remembering(context).to_client()


app = ClientApp(client_fn=client_fn)
