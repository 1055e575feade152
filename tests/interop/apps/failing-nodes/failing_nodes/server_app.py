"""failing-nodes: goes on with those that answer."""

import json
from collections.abc import Iterable

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


class NotingFailures(FedAvg):
    """Keeps what went wrong."""

    def __init__(self) -> None:
        super().__init__(min_train_nodes=3, min_available_nodes=3)
        self.failures: dict[str, list[tuple[int, str]]] = {}

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        received = list(replies)
        self.note(f"train {server_round}", received)
        return super().aggregate_train(server_round, received)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        received = list(replies)
        self.note(f"evaluate {server_round}", received)
        return super().aggregate_evaluate(server_round, received)

    def note(self, stage: str, replies: list[Message]) -> None:
        errors = [reply.error for reply in replies if reply.has_error()]
        # The reason holds a traceback in some engines: its last words are what counts.
        words = ("division by nothing", "tired", "everybody", "default")
        self.failures[stage] = sorted(
            (error.code, next((w for w in words if w in str(error.reason)), "?"))
            for error in errors
        )


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    strategy = NotingFailures()
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3, np.float32)]),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    node_id = next(iter(grid.get_node_ids()))
    (reply,) = grid.send_and_receive([Message(RecordDict(), node_id, "query.nothing")])
    try:
        text = str(reply.content)
    except ValueError:
        text = "no content"
    outcome = {
        "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
        "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
        "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
        "failures": strategy.failures,
        "query": [text, reply.has_error(), reply.error.code],
    }
    print("outcome:", json.dumps(outcome), flush=True)
