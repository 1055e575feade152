"""A NumPyClient whose update is clipped."""

import numpy as np

from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import fixedclipping_mod
from flwr.common import Context


class Client(NumPyClient):
    def __init__(self, partition: int) -> None:
        self.partition = partition

    def get_parameters(self, config):
        return [np.ones(4)]

    def fit(self, parameters, config):
        longer = self.partition + 1
        return [parameters[0] + np.asarray([3.0, 0.0, 4.0, 0.0]) * longer], 8, {"l": longer}

    def evaluate(self, parameters, config):
        return float(parameters[0].sum()), 1 + self.partition, {}


def client_fn(context: Context):
    return Client(int(context.node_config["partition-id"])).to_client()


app = ClientApp(client_fn=client_fn, mods=[fixedclipping_mod])
