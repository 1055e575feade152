"""legacy-best-model: a NumPyClient."""

import json

from flwr.client import Client, ClientApp, NumPyClient
from flwr.common import ConfigRecord, Context, NDArrays, RecordDict, Scalar
from legacy_best_model.task import Net, get_weights, load_data, set_weights, test, train


class FlowerClient(NumPyClient):
    def __init__(self, net: Net, partition_id: int, local_epochs: int, state: RecordDict) -> None:
        self.net = net
        self.x, self.y = load_data(partition_id)
        self.local_epochs = local_epochs
        self.client_state = state
        if "fit_metrics" not in state.config_records:
            state.config_records["fit_metrics"] = ConfigRecord({"train_losses": [0.0]})

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        set_weights(self.net, parameters)
        train_loss = train(self.net, self.x, self.y, self.local_epochs, float(config["lr"]))
        losses = self.client_state.config_records["fit_metrics"]["train_losses"]
        assert isinstance(losses, list)
        self.client_state.config_records["fit_metrics"] = ConfigRecord(
            {"train_losses": [*map(float, losses), train_loss]}
        )
        metrics: dict[str, Scalar] = {
            "train_loss": train_loss,
            "my_metric": json.dumps({"kept": len(losses)}),
        }
        return get_weights(self.net), len(self.y), metrics

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        set_weights(self.net, parameters)
        loss, accuracy = test(self.net, self.x, self.y)
        return loss, len(self.y), {"accuracy": accuracy}


def client_fn(context: Context) -> Client:
    partition_id = int(context.node_config["partition-id"])
    local_epochs = int(context.run_config["local-epochs"])
    return FlowerClient(Net(), partition_id, local_epochs, context.state).to_client()


app = ClientApp(client_fn)
