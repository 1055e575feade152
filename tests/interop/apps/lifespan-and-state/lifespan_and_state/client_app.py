"""lifespan-and-state: what is prepared for each message, and what is kept between them."""

from collections.abc import Iterator

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
resources: dict[str, int] = {}


@app.lifespan()
def lifespan(context: Context) -> Iterator[None]:
    """Open a resource before the message is handled, and close it afterwards."""
    resources["open"] = int(context.node_config["partition-id"]) + 1
    journal = context.state.config_records.setdefault("journal", ConfigRecord({"entries": ["new"]}))
    entries = journal["entries"]
    assert isinstance(entries, list)
    context.state["journal"] = ConfigRecord({"entries": [*map(str, entries), "open"]})
    yield
    resources.clear()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Keep the best loss, all losses, and a moving average of the model."""
    config, state = msg.content["config"], context.state
    loss = resources["open"] / 2 ** config["server-round"]
    losses = state["history"]["losses"] if "history" in state else []
    state["history"] = MetricRecord({"losses": [*losses, loss], "best": min([*losses, loss])})
    (model,) = msg.content["arrays"].to_numpy_ndarrays()
    (average,) = state["average"].to_numpy_ndarrays() if "average" in state else (model,)
    state["average"] = ArrayRecord([(average + model) / 2])

    metrics = {
        "num-examples": max(1, resources["open"] - 1),
        "best": state["history"]["best"],
        "rounds": len(state["history"]["losses"]),
        "opened": len(state["journal"]["entries"]),
        "losses": (state["history"]["losses"] + [0.0] * 3)[:3],
    }
    content = RecordDict(
        {"arrays": ArrayRecord([model + resources["open"]]), "metrics": MetricRecord(metrics)}
    )
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Evaluate the moving average, not what was sent."""
    (average,) = context.state["average"].to_numpy_ndarrays()
    metrics = {
        "num-examples": 1,
        "average": float(np.sum(average)),
        "opened": len(context.state["journal"]["entries"]),
        "kinds": len(context.state),
    }
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
