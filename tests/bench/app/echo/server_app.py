"""Rounds of FedAvg in phases; prints when each round ended.

A mark is one line, ``bench-mark PHASE NUMBER SECONDS``, on the clock that all processes of a
machine share.  Number 0 of a phase is its beginning.
"""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

UserConfig = Mapping[str, bool | float | int | str]
app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    phases = Phases(grid, config)
    warm = phases.run("warm", int(config["warm"]), 0.0)
    wanted = math.ceil(float(config["seconds"]) / warm)
    phases.run("timed", min(max(wanted, int(config["least"])), int(config["most"])), 0.0)
    phases.run("held", int(config["held"]), float(config["hold"]))
    mark("end", 0)


class Phases:
    def __init__(self, grid: Grid, config: UserConfig) -> None:
        nodes = int(config["nodes"])
        self.grid = grid
        self.file = str(config["phase-file"])
        self.strategy = FedAvg(
            fraction_evaluate=0.0,
            min_train_nodes=nodes,
            min_evaluate_nodes=nodes,
            min_available_nodes=nodes,
        )
        # Noise, so that nobody sends less than there is; changed by each client, so that no reply
        # is known by its content already.
        count = max(1, int(config["bytes"]) // 4)
        self.model = np.random.default_rng(1).random(count, dtype=np.float32)

    def run(self, name: str, rounds: int, hold: float) -> float:
        """Return the seconds that the last round of this phase took."""
        if not rounds:
            return 0.0
        if self.file:
            with suppress(OSError):  # in a container there is nobody who reads it
                Path(self.file).write_text(name)
        self.model += np.float32(0.25)
        ends: dict[int, float] = {}
        self.strategy.start(
            grid=self.grid,
            initial_arrays=ArrayRecord([self.model]),
            num_rounds=rounds,
            train_config=ConfigRecord({"hold": hold}),
            evaluate_fn=lambda number, _: ends.update({number: mark(name, number)}),
        )
        return ends[rounds] - ends[rounds - 1]


def mark(phase: str, number: int) -> float:
    now = time.monotonic()
    print(f"bench-mark {phase} {number} {now:.6f}", flush=True)
    return now
