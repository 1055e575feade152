"""``run_simulation`` as scripts call it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

import flwr
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.console_log import logger
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, Result
from flwr.simulation import run_simulation

pytestmark = pytest.mark.slow

NODES: Final = 8
ROUNDS: Final = 3
POOL: Final[dict[str, Any]] = {
    "backend_name": "pool",
    "backend_config": {"client_resources": {"num_cpus": 1}},
}


@pytest.fixture(autouse=True)
def same_console() -> Iterator[None]:
    """Undo what ``run_simulation`` does to the logger that all tests share."""
    before = (logger.level, list(logger.handlers), logger.propagate)
    yield
    logger.setLevel(before[0])
    logger.handlers[:], logger.propagate = before[1], before[2]


def local_update(model: np.ndarray[Any, Any], partition: int) -> np.ndarray[Any, Any]:
    noise = np.random.default_rng([partition, int(model.sum() * 1000) % 97])
    return np.asarray(0.5 * model + noise.normal(size=model.shape))


def make_client_app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        partition = int(context.node_config["partition-id"])
        (model,) = message.content.array_records["arrays"].to_numpy_ndarrays()
        content = RecordDict(
            {
                "arrays": ArrayRecord([local_update(model, partition)]),
                "metrics": MetricRecord({"num-examples": 1 + partition}),
            }
        )
        return Message(content, reply_to=message)

    return app


def make_server_app(results: list[Result]) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        assert context.node_id == 0
        assert context.run_config == {}
        assert grid.run.run_id == context.run_id
        strategy = FedAvg(fraction_evaluate=0.0)
        start = ArrayRecord([np.zeros(50)])
        results.append(strategy.start(grid, start, num_rounds=ROUNDS))

    return app


def expected_model() -> np.ndarray[Any, Any]:
    model = np.zeros(50)
    weights = np.arange(1, NODES + 1)
    for _ in range(ROUNDS):
        updates = np.array([local_update(model, partition) for partition in range(NODES)])
        model = np.average(updates, axis=0, weights=weights)
    return model


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kept_bytes", [10**9, 0], ids=["listed", "folded"])
def test_the_model_is_the_one_computed_by_hand(
    kept_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.simulation.grid._KEPT_BYTES", kept_bytes)
    results: list[Result] = []
    run_simulation(make_server_app(results), make_client_app(), NODES, **POOL)
    (model,) = results[0].arrays.to_numpy_ndarrays()
    np.testing.assert_allclose(model, expected_model(), rtol=1e-12)


def failing(grid: Grid, context: Context) -> None:
    raise KeyError("missing")


def test_a_serverapp_s_exception_is_the_cause_of_a_runtime_error() -> None:
    app = ServerApp()
    app.main()(failing)
    with pytest.raises(RuntimeError, match="its ServerApp raised") as caught:
        run_simulation(app, make_client_app(), 2, **POOL)
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"num_supernodes": 0}, "0 nodes is impossible"),
        ({"backend_name": "pigeon"}, "no simulation backend 'pigeon'"),
        ({"backend_config": {"client_resources": {"num_cpus": 10_000}}}, "10000 CPUs"),
        ({"backend_config": {"colour": "red"}}, "unknown keys: colour"),
    ],
)
def test_impossible_wishes_are_refused(changed: dict[str, Any], why: str) -> None:
    app = ServerApp()
    app.main()(failing)
    with pytest.raises(RuntimeError, match=why):
        run_simulation(app, make_client_app(), **{**POOL, "num_supernodes": 2, **changed})


SCRIPT: Final = """
from flwr.app import Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation
import os, sys

factor = 7
server, client = ServerApp(), ClientApp(mods=[lambda m, c, call: call(m, c)])

@client.query()
def query(message, context):
    answer = factor * context.node_config["partition-id"]
    return Message(RecordDict({"m": MetricRecord({"n": answer})}), reply_to=message)

@server.main()
def main(grid, context):
    asked = [Message(RecordDict(), n, "query") for n in grid.get_node_ids()]
    replies = grid.send_and_receive(asked)
    print("answers", sorted(r.content["m"]["n"] for r in replies))

run_simulation(server, client, 5, "pool")
print("grpc" in sys.modules, "sqlalchemy" in sys.modules)
"""


def test_a_script_needs_no_main_guard_and_loads_no_grpc(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    env = {**os.environ, "PYTHONPATH": str(Path(flwr.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "answers [0, 7, 14, 21, 28]" in done.stdout
    assert "False False" in done.stdout


def test_a_notebook_has_no_file_and_a_running_loop(tmp_path: Path) -> None:
    call = 'run_simulation(server, client, 5, "pool")'
    cell = f"import asyncio\nasync def cell(): {call}\nasyncio.run(cell())"
    env = {**os.environ, "PYTHONPATH": str(Path(flwr.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-"],
        input=SCRIPT.replace(call, cell),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=env,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "answers [0, 7, 14, 21, 28]" in done.stdout
