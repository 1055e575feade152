"""The questions that a site answers, each with numbers about all its wines together."""

import numpy as np

from flwr.app import ArrayRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable

from .task import Numbers, load_partition

TOO_FEW = 1000  # code of the error; the first thousand are the runtime's


def refuse_small_groups(message: Message, context: Context, answer: ClientAppCallable) -> Message:
    """Answer nothing where sums would tell too much about single wines; the site sets the limit."""
    least = int(context.node_config.get("smallest-group", 5))
    if len(_wines(context)) < least:
        return Message(Error(TOO_FEW, f"fewer than {least} wines"), reply_to=message)
    return answer(message, context)


app = ClientApp(mods=[refuse_small_groups])


@app.query("moments")
def moments(message: Message, context: Context) -> Message:
    """Tell number, sums and sums of squares of all measurements."""
    wines = _wines(context)
    return _reply(message, [np.array(len(wines)), wines.sum(axis=0), (wines**2).sum(axis=0)])


@app.query("below")
def below(message: Message, context: Context) -> Message:
    """Tell how many wines are at or below each of the thresholds, (thresholds, measurements)."""
    (thresholds,) = message.content.array_records["numbers"].to_numpy_ndarrays()
    return _reply(message, [(_wines(context) <= thresholds[:, None, :]).sum(axis=1)])


@app.query("histogram")
def histogram(message: Message, context: Context) -> Message:
    """Tell how many wines fall between neighbouring edges, or outside of them all."""
    feature, edges = message.content.array_records["numbers"].to_numpy_ndarrays()
    values = _wines(context)[:, int(feature)]
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return _reply(message, [counts])


def _reply(message: Message, numbers: list[Numbers]) -> Message:
    return Message(RecordDict({"numbers": ArrayRecord(numbers)}), reply_to=message)


def _wines(context: Context) -> Numbers:
    return load_partition(
        int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    )
