"""A NumPyClient whose update is clipped."""

import numpy as np

from flwr.client import Client, ClientApp, NumPyClient
from flwr.client.mod import fixedclipping_mod
from flwr.common import Config, Context, NDArrays, Scalar


class Clipped(NumPyClient):
    def __init__(self, partition: int) -> None:
        self.partition = partition

    def get_parameters(self, config: Config) -> NDArrays:
        return [np.ones(4)]

    def fit(self, parameters: NDArrays, config: Config) -> tuple[NDArrays, int, dict[str, Scalar]]:
        longer = self.partition + 1
        return [parameters[0] + np.asarray([3.0, 0.0, 4.0, 0.0]) * longer], 8, {"l": longer}

    def evaluate(
        self, parameters: NDArrays, config: Config
    ) -> tuple[float, int, dict[str, Scalar]]:
        return float(parameters[0].sum()), 1 + self.partition, {}


def client_fn(context: Context) -> Client:
    return Clipped(int(context.node_config["partition-id"])).to_client()


app = ClientApp(client_fn=client_fn, mods=[fixedclipping_mod])
