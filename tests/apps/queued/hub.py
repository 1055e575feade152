"""Asks each node for some seconds of work, of which the last comes later and may expire."""

import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    ids = sorted(grid.get_node_ids())
    ttls = [120.0] * (len(ids) - 1) + [float(context.run_config["last-ttl"])]
    asked = [_message(node, context, ttl) for node, ttl in zip(ids, ttls, strict=True)]
    replies: list[Message] = []
    open_ids = set(grid.push_messages(asked[:-1]))
    while (begun := str(context.run_config["begun"])) and not Path(begun).exists():
        time.sleep(0.02)
    time.sleep(float(context.run_config["pause"]))
    open_ids |= set(grid.push_messages(asked[-1:]))
    until = time.monotonic() + float(context.run_config["patience"])
    while open_ids and time.monotonic() < until:
        replies += grid.pull_messages(open_ids)
        open_ids -= {reply.metadata.reply_to_message_id for reply in replies}
        time.sleep(0.1)
    answers = [dict(reply.content["answer"]) for reply in replies if reply.has_content()]
    began = sorted(float(answer["began"]) for answer in answers)
    ended = sorted(float(answer["ended"]) for answer in answers)
    together = sum(b < e for b, e in zip(began[1:], ended, strict=False))
    seen = sorted({str(answer["gpus"]) for answer in answers})
    print(f"answers: {len(answers)} together: {together} gpus: {seen}", flush=True)


def _message(node: int, context: Context, ttl: float) -> Message:
    work = ConfigRecord({"seconds": float(context.run_config["seconds"])})
    content = RecordDict({"work": work})
    return Message(content, dst_node_id=node, message_type="query", ttl=ttl)
