"""named-actions: the head of a model whose halves stay with the nodes."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app import Array, ArrayRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    node_ids = list(grid.get_node_ids())
    head = np.array([1.0, -1.0])
    labels = np.array([0.0, 1.0, 1.0, 0.0])
    losses: list[float] = []
    for _ in range(int(context.run_config["num-server-rounds"])):
        messages = [
            Message(RecordDict(), node_id, f"{MessageType.QUERY}.generate_embeddings")
            for node_id in node_ids
        ]
        replies = grid.send_and_receive(messages)
        by_position = sorted(replies, key=lambda reply: int(reply.content["config"]["pos"]))
        embedding = sum(r.content["arrays"]["embedding"].numpy() for r in by_position)
        residual = embedding @ head - labels
        losses.append(float(np.square(residual).mean()))
        gradient = np.outer(residual, head) / len(labels)
        head = head - float(context.run_config["lr"]) * embedding.T @ residual

        messages = [
            Message(gradients(gradient), reply.metadata.src_node_id, "train.apply_gradients")
            for reply in by_position
        ]
        assert all(not reply.has_error() for reply in grid.send_and_receive(messages, timeout=60))

    replies = grid.send_and_receive(
        [Message(RecordDict(), node_id, "evaluate.weights") for node_id in node_ids]
    )
    halves = {
        int(reply.content["config"]["pos"]): reply.content["arrays"].to_numpy_ndarrays()[0].tolist()
        for reply in replies
    }
    outcome = {"losses": losses, "head": head.tolist(), "halves": dict(sorted(halves.items()))}
    print("outcome:", json.dumps(outcome), flush=True)


def gradients(gradient: NDArray[Any]) -> RecordDict:
    return RecordDict({"gradients": ArrayRecord({"local": Array(gradient)})})
