"""boosted-trees: what a node does."""

from boosted_trees.task import boost, from_array, load_params, to_array, trees_of
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Grow new trees on top of those received."""
    model = from_array(msg.content["arrays"]["0"].numpy())
    is_bagging = msg.content["config"]["method"] == "bagging"
    local_model = boost(
        model,
        load_params(context.run_config),
        int(context.run_config["local-epochs"]),
        int(context.node_config["partition-id"]),
        only_new=is_bagging and bool(model),
    )
    metrics = {"num-examples": 10, "received": len(trees_of(model))}
    content = RecordDict(
        {"arrays": ArrayRecord([to_array(local_model)]), "metrics": MetricRecord(metrics)}
    )
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Evaluate all trees on nothing in particular."""
    trees = trees_of(from_array(msg.content["arrays"]["0"].numpy()))
    total = sum(sum(tree["base_weights"]) for tree in trees)
    metrics = {"auc": total / 64, "trees": len(trees), "num-examples": 4}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
