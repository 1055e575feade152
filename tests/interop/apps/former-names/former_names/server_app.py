"""former-names: a hand-written loop on a Driver."""

import json
import random

import numpy as np

from flwr.common import (
    DEFAULT_TTL,
    ConfigsRecord,
    Context,
    Message,
    MessageType,
    ParametersRecord,
    RecordSet,
    array_from_numpy,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.recorddict_compat import arrayrecord_to_parameters, parameters_to_arrayrecord
from flwr.server import Driver, ServerApp

app = ServerApp()


@app.main()  # type: ignore[arg-type]  # a Driver is a Grid
def main(driver: Driver, context: Context) -> None:
    model = ParametersRecord({"0": array_from_numpy(np.arange(3.0))})
    history = []
    for server_round in range(1, int(context.run_config["num-rounds"]) + 1):
        node_ids = list(driver.get_node_ids())
        random.shuffle(node_ids)
        config = ConfigsRecord({"step": 0.5 * server_round})
        content = RecordSet(parameters_records={"model": model}, configs_records={"config": config})
        messages: list[Message] = []
        for node_id in node_ids:
            message = driver.create_message(
                content=content,
                message_type=MessageType.TRAIN,
                dst_node_id=node_id,
                group_id=str(server_round),
                ttl=DEFAULT_TTL,
            )
            messages.append(message)
        replies = list(driver.send_and_receive(messages))
        metrics = [reply.content.metrics_records["metrics"] for reply in replies]
        history.append(sorted([m["calls"], m["sum"]] for m in metrics))
        arrays = [
            parameters_to_ndarrays(
                arrayrecord_to_parameters(r.content.parameters_records["model"], keep_input=True)
            )[0]
            for r in replies
        ]
        mean = np.mean(arrays, axis=0)
        model = parameters_to_arrayrecord(ndarrays_to_parameters([mean]), keep_input=False)
    node_id = min(driver.get_node_ids())
    question = Message(RecordSet(), node_id, MessageType.EVALUATE)
    (reply,) = driver.send_and_receive([question])
    outcome = {
        "model": mean.tolist(),
        "record": [list(model), type(reply.error).__name__, reply.error.reason],
        "history": history,
    }
    print("outcome:", json.dumps(outcome), flush=True)
