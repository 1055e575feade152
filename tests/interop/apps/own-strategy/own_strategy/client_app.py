"""A NumPyClient without get_parameters; one of its nodes always fails to evaluate."""

import numpy as np

from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import arrays_size_mod, message_size_mod
from flwr.common import Config, Context, NDArrays, Scalar


class Client(NumPyClient):
    def __init__(self, partition: int) -> None:
        self.partition = partition

    def fit(self, parameters: NDArrays, config: Config) -> tuple[NDArrays, int, dict[str, Scalar]]:
        noise = np.random.default_rng([self.partition, int(config["round"])]).normal(size=3)
        return [parameters[0] + noise], self.partition + 1, {}

    def evaluate(
        self, parameters: NDArrays, config: Config
    ) -> tuple[float, int, dict[str, Scalar]]:
        if self.partition == 0:
            raise ZeroDivisionError("partition 0 cannot evaluate")
        return float(np.abs(parameters[0]).sum()), 3, {"partition": self.partition}


app = ClientApp(
    client_fn=lambda context: Client(int(context.node_config["partition-id"])).to_client(),
    mods=[message_size_mod, arrays_size_mod],
)


assert isinstance(app, ClientApp)
assert Context is not None
