"""The rounds, and what is kept of them."""

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .task import initial_model

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the nodes' models for some rounds."""
    result = FedAvg().start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_model()),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    slope, offset = result.arrays.to_numpy_ndarrays()
    print(f"Final model: y = {slope.item():.3f} x + {offset.item():.3f}")
