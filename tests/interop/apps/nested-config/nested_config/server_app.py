"""nested-config: sends every kind of value, and shows what came back."""

import json

from flwr.app import ConfigRecord, Context, Message, RecordDict, UserConfig
from flwr.common.config import unflatten_dict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()

VALUES = ConfigRecord(
    {
        "int": -(2**63),
        "float": 0.1,
        "text": "Grüße \U0001f338",
        "bytes": b"\x00\xff",
        "true": True,
        "ints": [1, -2, 3],
        "floats": [1.0, float("inf"), -0.0],
        "texts": ["a", "", "c"],
        "raws": [b"", b"\x80"],
        "bools": [True, False],
        "none": [],
    }
)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    config: UserConfig = context.run_config
    nested = unflatten_dict(config)
    content = RecordDict({"values": VALUES})
    replies = grid.send_and_receive(
        [Message(content, node, "query", ttl=120, group_id="g") for node in grid.get_node_ids()],
        timeout=100,
    )
    answers = [
        {
            "known": dict(reply.content["known"]),
            "types": dict(reply.content["types"]),
            "echoed": repr(reply.content["values"]),
            "equal": reply.content["values"] == VALUES,
            "short-lived": reply.metadata.ttl <= 60,
            "group": reply.metadata.group_id,
        }
        for reply in replies
    ]
    outcome = {
        "nested": nested,
        "hidden-is-int": type(nested["model"]["layers"]["hidden"]).__name__,
        "answers": sorted(answers, key=lambda answer: str(answer["known"])),
    }
    print("outcome:", json.dumps(outcome, sort_keys=True), flush=True)
