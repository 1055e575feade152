"""A NumPyClient whose update is clipped and leaves under masks only."""

import numpy as np

from flwr.client import Client, ClientApp, NumPyClient
from flwr.client.mod import fixedclipping_mod, secaggplus_mod
from flwr.common import Config, Context, NDArrays, Scalar


class Masked(NumPyClient):
    def __init__(self, partition: int) -> None:
        self.partition = partition

    def fit(self, parameters: NDArrays, config: Config) -> tuple[NDArrays, int, dict[str, Scalar]]:
        longer = self.partition + 1
        change = np.asarray([3.0, 0.0, 4.0, 0.0]) * longer / 8
        return [parameters[0] + change], 100 * longer, {"longer": longer}


def client_fn(context: Context) -> Client:
    return Masked(int(context.node_config["partition-id"])).to_client()


app = ClientApp(client_fn=client_fn, mods=[secaggplus_mod, fixedclipping_mod])
