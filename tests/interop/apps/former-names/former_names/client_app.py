"""former-names: an app as it was written when records had other names."""

import numpy as np

from flwr.client import ClientApp
from flwr.common import (
    ConfigsRecord,
    Context,
    Error,
    Message,
    MessageType,
    MetricsRecord,
    ParametersRecord,
    RecordSet,
    array_from_numpy,
)

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    assert msg.metadata.message_type == MessageType.TRAIN
    parameters = msg.content.parameters_records["model"]
    arrays = [array.numpy() for array in parameters.values()]
    step = msg.content.configs_records["config"]["step"]
    assert isinstance(step, float)
    partition_id = int(context.node_config["partition-id"])
    trained = ParametersRecord(
        {str(i): array_from_numpy(a + step * (partition_id + 1)) for i, a in enumerate(arrays)}
    )
    calls = context.state.configs_records.get("calls", ConfigsRecord({"n": 0}))
    number = calls["n"]
    assert isinstance(number, int)
    context.state.configs_records["calls"] = ConfigsRecord({"n": number + 1})
    recordset = RecordSet(
        parameters_records={"model": trained},
        metrics_records={"metrics": MetricsRecord({"calls": number + 1, "sum": total(arrays)})},
    )
    return msg.create_reply(recordset)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    return msg.create_error_reply(Error(code=0, reason="nothing to evaluate"))


def total(arrays: list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]) -> float:
    return float(sum(array.sum() for array in arrays))
