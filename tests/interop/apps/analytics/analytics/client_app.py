"""analytics: counts, not data, leave the node."""

import warnings

import numpy as np

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

warnings.filterwarnings("ignore", category=UserWarning)

app = ClientApp()


@app.query()
def query(msg: Message, context: Context) -> Message:
    """Make a histogram of each column that is asked for."""
    partition_id = int(context.node_config["partition-id"])
    rng = np.random.default_rng(partition_id)
    columns = {"height": rng.normal(170, 10, 50), "weight": rng.normal(70, 12, 50)}
    bins = msg.content["config"]["bins"]

    metrics = MetricRecord()
    for name in msg.content["config"]["columns"]:
        low, high = msg.content["config"][f"range-{name}"]
        counts, _ = np.histogram(columns[name], bins=bins, range=(low, high))
        metrics[name] = counts.tolist()
        metrics[f"{name}-mean"] = float(columns[name].mean())
    site = ConfigRecord({"name": f"site {partition_id}", "columns": sorted(columns)})
    return Message(RecordDict({"query_results": metrics, "site": site}), reply_to=msg)
