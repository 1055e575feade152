"""The round loop on a grid."""

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from flwr.app import Context, RecordDict
from flwr.app.console_log import logger
from flwr.client.client import Client
from flwr.clientapp import ClientApp
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import FitIns, Parameters
from flwr.server.client_manager import SimpleClientManager
from flwr.server.compat.app import start_grid
from flwr.server.history import History
from flwr.server.server import Server, fit_clients, init_defaults
from flwr.server.server_config import ServerConfig
from flwr.server.serverapp_components import ServerAppComponents
from flwr.server.start import start_server
from flwr.server.strategy.fedavg import FedAvg
from flwr.serverapp import ServerApp
from tests.unit.server.app_grid import AppGrid
from tests.unit.server.clients import KnownClient, Watching, adding

LOSSES = [(0, 0.0), (1, 1.0), (2, 2.0)]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """What the app's logger says, filled at the end of each call of it."""
    seen: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record.getMessage())

    level, keeper = logger.level, Keeper()
    logger.setLevel(logging.INFO)
    logger.addHandler(keeper)
    yield seen
    logger.removeHandler(keeper)
    logger.setLevel(level)


def fedavg() -> FedAvg:
    return FedAvg(
        evaluate_fn=lambda server_round, model, _: (float(server_round), {"m": float(model[0][0])}),
        fit_metrics_aggregation_fn=lambda found: {"calls": sum(int(m["calls"]) for _, m in found)},
        evaluate_metrics_aggregation_fn=lambda found: dict(found[0][1]),
    )


def test_rounds_train_evaluate_and_remember(lines: list[str]) -> None:
    grid = AppGrid(3, adding())

    history = start_grid(grid=grid, strategy=fedavg(), config=ServerConfig(2, 60.0))

    assert history.losses_centralized == LOSSES
    assert history.losses_distributed == [(1, 2.0), (2, 4.0)]
    assert history.metrics_distributed_fit == {"calls": [(1, 3), (2, 3)]}
    assert history.metrics_distributed == {"mean": [(1, 1.0), (2, 2.0)]}
    assert history.metrics_centralized["m"][2] == (2, 2.0)
    assert grid.asked[0] == ("get_parameters", "", 60.0)
    assert sorted(set(grid.asked[1:])) == [
        ("evaluate", "1", 60.0),
        ("evaluate", "2", 60.0),
        ("train", "1", 60.0),
        ("train", "2", 60.0),
    ]
    assert [line for line in lines if line][:9] == [
        "Starting Flower ServerApp, config: num_rounds=2, round_timeout=60.0s",
        "[INIT]",
        "Requesting initial parameters from one random client",
        "Received initial parameters from one random client",
        "Starting evaluation of initial global parameters",
        "initial parameters (loss, other metrics): 0.0, {'m': 0.0}",
        "[ROUND 1]",
        "configure_fit: strategy sampled 3 clients (out of 3)",
        "aggregate_fit: received 3 results and 0 failures",
    ]
    assert "\tHistory (loss, distributed):" in lines
    assert "\t\tround 1: 2.0" in lines
    assert lines[-1] == ""


def test_a_client_that_fails_is_a_failure_not_the_end() -> None:
    strategy = Watching()

    history = start_grid(grid=AppGrid(3, adding(failing=2)), strategy=strategy)

    (failure,) = strategy.failures
    wanted = "Message contains an Error (reason: KeyError: 'boom'). It originated during "
    assert str(failure) == wanted + "client-side execution of a message."
    assert isinstance(failure, ValueError)
    assert history.losses_distributed == [(1, 1.0)]


def test_an_answer_that_is_not_ok_is_a_failure_with_its_client(lines: list[str]) -> None:
    strategy = Watching()
    grid = AppGrid(2, ClientApp(client_fn=lambda _: Client()))

    history = start_grid(grid=grid, strategy=strategy)

    pairs = [failure for failure in strategy.failures if isinstance(failure, tuple)]
    assert [(client.cid, res.status.code.value) for client, res in pairs] in (
        [("101", 3), ("102", 3)],
        [("102", 3), ("101", 3)],
    )
    assert history.losses_distributed == []
    assert "aggregate_evaluate: received 0 results and 2 failures" in lines
    assert any("Empty initial parameters will be used" in line for line in lines)


def test_a_strategy_may_choose_nobody(lines: list[str]) -> None:
    model = ndarrays_to_parameters([np.ones(1)])
    strategy = Watching(fraction_evaluate=0.0, initial_parameters=model)
    strategy.asks_nobody = True
    grid = AppGrid(2, adding())

    start_grid(grid=grid, strategy=strategy)

    assert grid.sent == []
    assert "Using initial global parameters provided by strategy" in lines
    assert "Evaluation returned no results (`None`)" in lines
    assert "configure_fit: no clients selected, cancel" in lines
    assert "configure_evaluate: no clients selected, skipping evaluation" in lines


def test_a_client_without_a_model_ends_the_run() -> None:
    def client_fn(_: Context) -> Client:
        raise OSError("no disk")

    with pytest.raises(ValueError, match="no disk"):
        start_grid(grid=AppGrid(2, ClientApp(client_fn=client_fn)))


def test_clients_are_asked_at_the_same_time_and_answer_in_order() -> None:
    clients = [KnownClient(str(index)) for index in range(20)]
    ins = FitIns(Parameters([], ""), {})

    results, failures = fit_clients([(c, ins) for c in clients], 4, None, 1)

    assert [client for client, _ in results] == clients
    assert failures == []
    assert fit_clients([], None, None, 1) == ([], [])


def test_the_end_of_the_run_is_no_failure_of_a_client() -> None:
    ins = FitIns(Parameters([], ""), {})
    with pytest.raises(SystemExit):
        fit_clients([(KnownClient("1"), ins), (KnownClient("gone"), ins)], None, None, 1)


def test_defaults_take_the_place_of_what_is_absent(lines: list[str]) -> None:
    server, config = init_defaults(None, None, None, None)
    assert (repr(config), repr(server.strategy)) == (
        "num_rounds=1, no round_timeout",
        "FedAvg(accept_failures=True)",
    )
    manager, strategy = SimpleClientManager(), FedAvg()
    server, _ = init_defaults(None, None, strategy, manager)
    assert (server.client_manager(), server.strategy) == (manager, strategy)

    assert init_defaults(server, None, FedAvg(), None)[0] is server
    assert lines == ["Both server and strategy were provided, ignoring strategy"]


def test_a_server_can_be_changed() -> None:
    manager, strategy = SimpleClientManager(), FedAvg()
    server = Server(client_manager=manager)
    server.set_max_workers(1)
    server.set_strategy(strategy)
    manager.register(KnownClient("1"))
    server.disconnect_all_clients(timeout=None)

    assert (server.max_workers, server.strategy) == (1, strategy)


@pytest.mark.parametrize("is_deprecated", [True, False])
def test_a_server_app_runs_the_parts_it_was_given(is_deprecated: bool) -> None:
    grid, context = AppGrid(2, adding()), Context(7, 1, {}, RecordDict(), {"rounds": 3})
    kept: list[History] = []

    class Keeping(Server):
        def fit(self, num_rounds: int, timeout: float | None) -> tuple[History, float]:
            history, seconds = super().fit(num_rounds, timeout)
            kept.append(history)
            return history, seconds

    server = Keeping(client_manager=SimpleClientManager(), strategy=fedavg())
    if is_deprecated:
        with pytest.warns(DeprecationWarning, match="server_fn"):
            app = ServerApp(server=server, config=ServerConfig(num_rounds=3))
    else:
        app = ServerApp(
            server_fn=lambda c: ServerAppComponents(
                server=server, config=ServerConfig(int(c.run_config["rounds"]))
            )
        )

    app(grid, context)

    assert [server_round for server_round, _ in kept[0].losses_distributed] == [1, 2, 3]
    (model,) = parameters_to_ndarrays(server.parameters)
    assert model.tolist() == [1.5, 1.5]


def test_a_server_app_without_anything_runs_one_round() -> None:
    grid = AppGrid(2, adding())
    ServerApp()(grid, Context(7, 1, {}, RecordDict(), {}))
    assert [kind for kind, _, _ in grid.asked].count("train") == 2


def test_starting_a_server_by_hand_says_what_to_do_instead() -> None:
    with pytest.raises(Exception, match=r"start_server is not part of this release") as error:
        start_server(config=ServerConfig(3))
    assert "flower-superlink" in error.value.hint  # type: ignore[attr-defined]
