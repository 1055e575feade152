"""Asks every node for its share of a sum; the shortest ServerApp there is."""

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    ids = list(grid.get_node_ids())
    asked = [Message(content=RecordDict(), dst_node_id=n, message_type="query") for n in ids]
    replies = grid.send_and_receive(asked)
    shares = [reply.content["answer"]["share"] for reply in replies]
    print(f"{context.run_config['question']}: {sum(shares)} from {len(shares)}", flush=True)
