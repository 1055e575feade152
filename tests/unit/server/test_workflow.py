"""Workflows on a grid."""

import pytest

from flwr.app import Context, RecordDict
from flwr.client.client import Client
from flwr.clientapp import ClientApp
from flwr.common.parameter import parameters_to_ndarrays
from flwr.common.recorddict_compat import arrayrecord_to_parameters
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.default_workflows import DefaultWorkflow
from flwr.serverapp import Grid
from tests.unit.server.app_grid import AppGrid
from tests.unit.server.clients import Watching, adding


def legacy(rounds: int = 2, strategy: FedAvg | None = None) -> LegacyContext:
    context = Context(7, 1, {}, RecordDict(), {"k": 1})
    return LegacyContext(context, ServerConfig(rounds, 30.0), strategy)


def model_of(context: LegacyContext) -> list[object]:
    record = context.state.array_records[MAIN_PARAMS_RECORD]
    return [a.tolist() for a in parameters_to_ndarrays(arrayrecord_to_parameters(record, True))]


def test_a_legacy_context_is_a_context_with_parts() -> None:
    plain = Context(7, 1, {"n": 2}, RecordDict(), {"k": 1})

    context = LegacyContext(plain)

    assert isinstance(context, Context)
    assert (context.run_id, context.node_config, context.run_config) == (7, {"n": 2}, {"k": 1})
    assert context.state is plain.state
    assert repr(context.config) == "num_rounds=1, no round_timeout"
    assert repr(context.strategy) == "FedAvg(accept_failures=True)"
    assert context.client_manager.num_available() == 0
    assert repr(context.history) == ""


def test_the_model_and_the_round_live_in_the_state() -> None:
    grid, context = AppGrid(3, adding()), legacy(strategy=Watching())

    DefaultWorkflow()(grid, context)

    assert model_of(context) == [pytest.approx([2.0, 2.0])]  # clients answer in any order
    settings = context.state.config_records[MAIN_CONFIGS_RECORD]
    assert list(settings) == [Key.START_TIME, Key.CURRENT_ROUND]
    assert settings[Key.CURRENT_ROUND] == 2
    assert context.history.losses_distributed == [(1, 2.0), (2, 4.0)]
    assert [(kind, group) for kind, group, _ in grid.asked] == [
        ("get_parameters", "0"),
        *[("train", "1")] * 3,
        *[("evaluate", "1")] * 3,
        *[("train", "2")] * 3,
        *[("evaluate", "2")] * 3,
    ]


def test_errors_and_refusals_are_failures() -> None:
    failing = Watching()
    DefaultWorkflow()(AppGrid(3, adding(failing=1)), legacy(1, failing))
    (error,) = failing.failures
    assert "boom" in str(error)

    refused = Watching()
    context = legacy(1, refused)
    DefaultWorkflow()(AppGrid(2, ClientApp(client_fn=lambda _: Client())), context)
    assert [isinstance(failure, tuple) for failure in refused.failures] == [True, True]
    assert context.history.losses_distributed == []
    assert list(context.state.array_records[MAIN_PARAMS_RECORD]) == ["_empty"]


def test_a_node_that_cannot_give_a_model_leaves_it_empty() -> None:
    def client_fn(_: Context) -> Client:
        raise OSError("no disk")

    context = legacy(1, Watching())
    DefaultWorkflow()(AppGrid(2, ClientApp(client_fn=client_fn)), context)

    assert list(context.state.array_records[MAIN_PARAMS_RECORD]) == ["_empty"]


def test_the_server_evaluates_each_model() -> None:
    strategy = FedAvg(evaluate_fn=lambda r, model, _: (float(model[0][0]), {"round": r}))
    context = legacy(strategy=strategy)

    DefaultWorkflow()(AppGrid(2, adding()), context)

    assert context.history.losses_centralized == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert context.history.metrics_centralized == {"round": [(0, 0), (1, 1), (2, 2)]}


def test_parts_can_be_replaced_and_nobody_asked() -> None:
    calls: list[str] = []

    def fit(grid: Grid, context: Context) -> None:
        calls.append(f"fit {context.state.config_records['config']['current_round']!r}")

    def evaluate(grid: Grid, context: Context) -> None:
        calls.append("evaluate")

    DefaultWorkflow(fit, evaluate)(AppGrid(2, adding()), legacy())
    assert calls == ["fit 1", "evaluate", "fit 2", "evaluate"]

    strategy = Watching(fraction_evaluate=0.0)
    strategy.asks_nobody = True
    grid = AppGrid(2, adding())
    DefaultWorkflow()(grid, legacy(strategy=strategy))
    assert [kind for kind, _, _ in grid.asked] == ["get_parameters"]


def test_only_a_legacy_context_will_do() -> None:
    with pytest.raises(TypeError, match=r"Expect a LegacyContext, but get Context\."):
        DefaultWorkflow()(AppGrid(2, adding()), Context(7, 1, {}, RecordDict(), {}))
