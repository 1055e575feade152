"""The questions, and what is made of the answers."""

import time

import numpy as np
from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.serverapp import Grid, ServerApp

from .task import bars, combine

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask every node twice; the second question follows from the first answers."""
    nodes = _await_nodes(grid, int(context.run_config["min-nodes"]))

    sums = [reply["sums"] for reply in _ask(grid, nodes, MessageType.QUERY, RecordDict())]
    count, mean, deviation = combine([(s["count"], s["sum"], s["squares"]) for s in sums])
    print(f"{len(sums)} nodes, {count} values: mean {mean:.3f}, deviation {deviation:.3f}")

    bins = int(context.run_config["bins"])
    edges = np.linspace(mean - 3 * deviation, mean + 3 * deviation, bins + 1)
    question = RecordDict({"question": ConfigRecord({"edges": edges.tolist()})})
    answers = _ask(grid, nodes, f"{MessageType.QUERY}.histogram", question)
    print(bars(sum(answer["counts"]["counts"].numpy() for answer in answers), edges))


def _await_nodes(grid: Grid, least: int) -> list[int]:
    """Return the nodes that are online, once there are enough of them."""
    while len(nodes := list(grid.get_node_ids())) < least:
        time.sleep(0.5)
    return nodes


def _ask(grid: Grid, nodes: list[int], message_type: str, question: RecordDict) -> list[RecordDict]:
    """Ask every node; return what those answered that could."""
    messages = [Message(question, dst_node_id=node, message_type=message_type) for node in nodes]
    replies = list(grid.send_and_receive(messages, timeout=60))
    for reply in replies:
        if reply.has_error():
            print(f"Node {reply.metadata.src_node_id} failed: {reply.error.reason}")
    answers = [reply.content for reply in replies if reply.has_content()]
    if not answers:
        raise RuntimeError("no node answered")
    return answers
