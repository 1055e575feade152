"""Each strategy on replies whose result can be worked out by hand.

That the numbers are upstream's on random replies is held by ``tests/interop/test_legacy_apps.py``.
"""

import json

import numpy as np
import pytest

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import EvaluateRes, FitRes, NDArrays, Parameters, Scalar
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.bulyan import Bulyan
from flwr.server.strategy.fault_tolerant_fedavg import FaultTolerantFedAvg
from flwr.server.strategy.fedadagrad import FedAdagrad
from flwr.server.strategy.fedadam import FedAdam
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.strategy.fedavg_android import FedAvgAndroid
from flwr.server.strategy.fedavgm import FedAvgM
from flwr.server.strategy.fedmedian import FedMedian
from flwr.server.strategy.fedopt import FedOpt
from flwr.server.strategy.fedprox import FedProx
from flwr.server.strategy.fedtrimmedavg import FedTrimmedAvg
from flwr.server.strategy.fedxgb_bagging import FedXgbBagging
from flwr.server.strategy.fedxgb_cyclic import FedXgbCyclic
from flwr.server.strategy.fedyogi import FedYogi
from flwr.server.strategy.krum import Krum
from flwr.server.strategy.qfedavg import QFedAvg
from flwr.server.strategy.strategy import Strategy
from tests.unit.server.clients import OK, KnownClient, trained

Results = list[tuple[ClientProxy, FitRes]]


def model(*values: float) -> Parameters:
    return ndarrays_to_parameters([np.asarray(values)])


def results(*values: float) -> Results:
    return [(KnownClient(str(i)), trained(value)) for i, value in enumerate(values)]


def folded(strategy: Strategy, *values: float, server_round: int = 1) -> float:
    parameters, _ = strategy.aggregate_fit(server_round, results(*values), [])
    assert parameters is not None
    ((number,),) = parameters_to_ndarrays(parameters)
    return float(number)


def clients(count: int) -> SimpleClientManager:
    manager = SimpleClientManager()
    for index in range(count):
        manager.register(KnownClient(str(index)))
    return manager


def test_fedavg_folds_models_losses_and_metrics() -> None:
    strategy = FedAvg(
        fit_metrics_aggregation_fn=lambda found: {"n": sum(n for n, _ in found)},
        evaluate_metrics_aggregation_fn=lambda found: {"n": len(found)},
    )
    evaluated = [
        (KnownClient("1"), EvaluateRes(OK, loss, n, {})) for n, loss in ((1, 1.0), (3, 2.0))
    ]

    parameters, metrics = strategy.aggregate_fit(1, results(1.0, 2.0), [])

    assert parameters == model(1.5)
    assert metrics == {"n": 2}
    assert strategy.aggregate_evaluate(1, [*evaluated], []) == (1.75, {"n": 2})
    assert FedAvg(inplace=False).aggregate_fit(1, results(1.0, 2.0), [])[0] == model(1.5)


def test_fedavg_says_once_that_metrics_are_not_folded(caplog: pytest.LogCaptureFixture) -> None:
    evaluated: list[tuple[ClientProxy, EvaluateRes]] = [
        (KnownClient("1"), EvaluateRes(OK, 1.0, 1, {}))
    ]
    for server_round in (1, 2):
        FedAvg().aggregate_fit(server_round, results(1.0), [])
        FedAvg().aggregate_evaluate(server_round, evaluated, [])

    assert caplog.messages == [
        "No fit_metrics_aggregation_fn provided",
        "No evaluate_metrics_aggregation_fn provided",
    ]


def test_fedavg_drops_rounds_without_results_or_with_failures_it_does_not_accept() -> None:
    strict = FedAvg(accept_failures=False)
    evaluated: list[tuple[ClientProxy, EvaluateRes]] = [
        (KnownClient("1"), EvaluateRes(OK, 1.0, 1, {}))
    ]

    assert FedAvg().aggregate_fit(1, [], [ValueError()]) == (None, {})
    assert FedAvg().aggregate_evaluate(1, [], []) == (None, {})
    assert strict.aggregate_fit(1, results(1.0), [ValueError()]) == (None, {})
    assert strict.aggregate_evaluate(1, evaluated, [ValueError()]) == (None, {})
    assert FedAvg().aggregate_fit(1, results(1.0), [ValueError()])[0] == model(1.0)
    assert repr(strict) == "FedAvg(accept_failures=False)"


def test_fedavg_samples_and_configures(caplog: pytest.LogCaptureFixture) -> None:
    strategy = FedAvg(
        fraction_fit=0.5,
        fraction_evaluate=0.3,
        on_fit_config_fn=lambda server_round: {"round": server_round},
        on_evaluate_config_fn=lambda server_round: {"e": server_round},
    )

    fit = strategy.configure_fit(4, model(1.0), clients(10))
    evaluate = strategy.configure_evaluate(4, model(1.0), clients(10))

    assert (len(fit), len(evaluate)) == (5, 3)
    assert fit[0][1].config == {"round": 4}
    assert evaluate[0][1].config == {"e": 4}
    assert FedAvg(fraction_evaluate=0.0).configure_evaluate(1, model(1.0), clients(3)) == []
    assert FedAvg(fraction_fit=0.5).num_fit_clients(3) == (2, 2)
    FedAvg(min_fit_clients=5)
    assert "min_available_clients (2) is lower than min_fit_clients (5)" in caplog.text


def test_fedavg_hands_out_its_model_once_and_evaluates() -> None:
    def evaluate(
        server_round: int, ndarrays: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, dict[str, Scalar]]:
        return float(ndarrays[0][0]), {"round": server_round, **config}

    strategy = FedAvg(initial_parameters=model(3.0), evaluate_fn=evaluate)

    assert strategy.initialize_parameters(clients(0)) == model(3.0)
    assert strategy.initialize_parameters(clients(0)) is None
    assert strategy.evaluate(2, model(3.0)) == (3.0, {"round": 2})
    assert FedAvg().evaluate(2, model(3.0)) is None


def test_fedprox_sends_the_weight_of_its_term() -> None:
    shared: dict[str, Scalar] = {"lr": 0.1}
    strategy = FedProx(proximal_mu=0.5, on_fit_config_fn=lambda _: shared)

    asked = strategy.configure_fit(1, model(1.0), clients(2))

    assert [ins.config for _, ins in asked] == [{"lr": 0.1, "proximal_mu": 0.5}] * 2
    assert shared == {"lr": 0.1}
    assert folded(strategy, 1.0, 2.0) == 1.5


def test_robust_strategies_ignore_an_attacker() -> None:
    attacked = (1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 1e6)

    assert folded(FedMedian(), *attacked) == 2.0
    assert folded(FedTrimmedAvg(beta=0.2), *attacked) == pytest.approx(1.6)
    assert folded(Krum(num_malicious_clients=1), *attacked) in {1.0, 2.0}
    assert folded(Krum(num_malicious_clients=1, num_clients_to_keep=6), *attacked) == 1.5
    assert 1.0 <= folded(Bulyan(num_malicious_clients=1, to_keep=0), *attacked) <= 2.0


@pytest.mark.parametrize("kind", [FedMedian, FedTrimmedAvg, Krum, Bulyan, QFedAvg, FedAvgAndroid])
def test_rounds_without_results_keep_the_model(kind: type[FedAvg]) -> None:
    strategy = kind()

    assert strategy.aggregate_fit(1, [], []) == (None, {})
    strategy.accept_failures = False
    assert strategy.aggregate_fit(1, results(1.0), [ValueError()]) == (None, {})
    assert strategy.aggregate_evaluate(1, [], []) == (None, {})


def test_fedavgm_steps_with_momentum() -> None:
    strategy = FedAvgM(initial_parameters=model(1.0), server_learning_rate=0.5, server_momentum=0.5)

    assert strategy.initialize_parameters(clients(0)) == model(1.0)
    assert folded(strategy, 2.0, 4.0) == 2.0  # 1 - 0.5 * (1 - 3)
    assert folded(strategy, 3.0, server_round=2) == 3.0  # v = 0.5 * -2 + (2 - 3)
    assert FedAvgM(initial_parameters=model(1.0)).aggregate_fit(1, [], []) == (None, {})
    with pytest.raises(ValueError, match="initial_parameters"):
        folded(FedAvgM(server_momentum=0.5), 1.0)


def test_optimizers_step_from_the_initial_model() -> None:
    start = model(1.0)

    assert folded(FedOpt(initial_parameters=start), 5.0) == 5.0
    assert folded(FedAdagrad(initial_parameters=start, eta=0.5, tau=0.0), 3.0) == 1.5
    yogi = FedYogi(initial_parameters=start, eta=1.0, beta_1=0.5, beta_2=0.75, tau=0.0)
    assert folded(yogi, 3.0) == 2.0  # m = 1, v = 0.25 * 4 = 1
    adam = FedAdam(initial_parameters=start, eta=1.0, beta_1=0.0, beta_2=0.75, tau=0.0)
    corrected = np.sqrt(1 - 0.75**2) * 2.0 / 1.0  # eta_n * m / sqrt(v), v = 1
    assert folded(adam, 3.0) == pytest.approx(1.0 + corrected)
    assert adam.aggregate_fit(2, [], []) == (None, {})


def test_qfedavg_weighs_by_the_loss_on_the_server() -> None:
    strategy = QFedAvg(
        q_param=0.0, qffl_learning_rate=0.5, evaluate_fn=lambda _r, _m, _c: (2.0, {})
    )

    strategy.configure_fit(1, model(4.0), clients(1))

    assert folded(strategy, 2.0, 6.0, 1.0) == pytest.approx(3.0)  # q = 0 is the plain mean
    assert repr(strategy).startswith("QffedAvg(learning_rate=0.5, q_param=0.0")
    with pytest.raises(ValueError, match="before configure_fit"):
        folded(QFedAvg(), 1.0)
    without = QFedAvg()
    without.configure_fit(1, model(4.0), clients(1))
    with pytest.raises(ValueError, match="evaluate_fn"):
        folded(without, 1.0)


def test_a_round_counts_if_enough_clients_finished() -> None:
    strategy = FaultTolerantFedAvg(min_completion_rate_fit=0.5, min_completion_rate_evaluate=0.6)
    evaluated: list[tuple[ClientProxy, EvaluateRes]] = [
        (KnownClient("1"), EvaluateRes(OK, 1.0, 1, {}))
    ]

    assert strategy.aggregate_fit(1, results(1.0), [ValueError()])[0] == model(1.0)
    assert strategy.aggregate_fit(1, results(1.0), [ValueError()] * 2) == (None, {})
    assert strategy.aggregate_evaluate(1, evaluated, [ValueError()]) == (None, {})
    assert strategy.aggregate_evaluate(1, evaluated, []) == (1.0, {})
    assert strategy.aggregate_fit(1, [], []) == (None, {})
    assert repr(strategy) == "FaultTolerantFedAvg()"


def test_android_models_are_plain_numbers() -> None:
    strategy = FedAvgAndroid(evaluate_fn=lambda _r, m, _c: (float(m[0][1]), {}))
    numbers = [np.asarray([[1.0, 2.0]], np.float32)]

    sent = strategy.ndarrays_to_parameters(numbers)
    parameters, _ = strategy.aggregate_fit(1, [(KnownClient("1"), FitRes(OK, sent, 2, {}))], [])

    assert sent.tensors == [numbers[0].tobytes()]
    assert parameters is not None
    assert strategy.parameters_to_ndarrays(parameters)[0].tolist() == [1.0, 2.0]
    assert strategy.evaluate(1, parameters) == (2.0, {})
    assert FedAvgAndroid().evaluate(1, parameters) is None
    evaluated: list[tuple[ClientProxy, EvaluateRes]] = [
        (KnownClient("1"), EvaluateRes(OK, 1.5, 1, {}))
    ]
    assert strategy.aggregate_evaluate(1, evaluated, []) == (1.5, {})


def forest(trees: int) -> Parameters:
    grown = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(trees)},
        "iteration_indptr": list(range(trees + 1)),
        "tree_info": [0] * trees,
        "trees": [{"id": index} for index in range(trees)],
    }
    text = json.dumps({"learner": {"gradient_booster": {"model": grown}}})
    return Parameters([text.encode()], "")


def trees_in(parameters: Parameters | None) -> int:
    assert parameters is not None
    (text,) = parameters.tensors
    return len(json.loads(text)["learner"]["gradient_booster"]["model"]["trees"])


def test_bagging_appends_every_clients_tree() -> None:
    strategy = FedXgbBagging(evaluate_function=lambda r, _p, _c: (float(r), {}))
    found: Results = [(KnownClient(str(i)), FitRes(OK, forest(1), 1, {})) for i in range(3)]

    assert trees_in(strategy.aggregate_fit(1, found, [])[0]) == 3
    assert trees_in(strategy.aggregate_fit(2, found, [])[0]) == 6
    assert strategy.aggregate_fit(3, [], []) == (None, {})
    assert strategy.evaluate(2, forest(1)) == (2.0, {})
    assert FedXgbBagging().evaluate(2, forest(1)) is None
    assert repr(strategy) == "FedXgbBagging(accept_failures=True)"


def test_the_forest_goes_from_client_to_client() -> None:
    strategy = FedXgbCyclic(evaluate_metrics_aggregation_fn=lambda found: {"n": len(found)})

    assert len(strategy.configure_fit(1, forest(1), clients(3))) == 1
    assert len(strategy.configure_evaluate(2, forest(1), clients(3))) == 1
    found: Results = [(KnownClient("1"), FitRes(OK, forest(4), 1, {}))]
    assert strategy.aggregate_fit(1, found, [])[0] == forest(4)
    assert strategy.aggregate_fit(1, [], []) == (None, {})
    evaluated: list[tuple[ClientProxy, EvaluateRes]] = [
        (KnownClient("1"), EvaluateRes(OK, 9.0, 1, {}))
    ]
    assert strategy.aggregate_evaluate(1, evaluated, []) == (0, {"n": 1})
    assert strategy.aggregate_evaluate(1, [], []) == (None, {})
    assert FedXgbBagging().aggregate_evaluate(1, evaluated, []) == (0, {})
    assert FedXgbCyclic(fraction_evaluate=0.0).configure_evaluate(1, forest(1), clients(3)) == []
