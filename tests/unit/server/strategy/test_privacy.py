"""The legacy strategies of differential privacy; noise is 0 where numbers are compared."""

from typing import Any

import numpy as np
import pytest

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import EvaluateRes, FitRes, Parameters
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
)
from flwr.server.strategy.dp_fixed_clipping import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
)
from flwr.server.strategy.dpfedavg_adaptive import DPFedAvgAdaptive
from flwr.server.strategy.dpfedavg_fixed import DPFedAvgFixed
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.strategy.strategy import Strategy
from tests.unit.server.clients import OK, KnownClient, trained

Results = list[tuple[ClientProxy, FitRes]]
START = ndarrays_to_parameters([np.asarray([10.0, 10.0])])
FIXED: list[type[Any]] = [
    DifferentialPrivacyServerSideFixedClipping,
    DifferentialPrivacyClientSideFixedClipping,
]
ADAPTIVE: list[type[Any]] = [
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyClientSideAdaptiveClipping,
]


def manager() -> SimpleClientManager:
    made = SimpleClientManager()
    for index in range(2):
        made.register(KnownClient(str(index)))
    return made


def results(**metrics: bool) -> Results:
    """Return an update of length 5 and one of length 1."""
    models = ((13.0, 14.0), (10.0, 11.0))
    found: Results = []
    for index, values in enumerate(models):
        answer = trained(*values)
        answer.metrics = {name: value == (index == 0) for name, value in metrics.items()}
        found.append((KnownClient(str(index)), answer))
    return found


def values(parameters: Parameters | None) -> list[float]:
    assert parameters is not None
    (array,) = parameters_to_ndarrays(parameters)
    return [float(value) for value in array]


def test_the_server_clips_each_update_by_itself() -> None:
    strategy = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 0.0, 2.5, 2)

    asked = strategy.configure_fit(1, START, manager())
    parameters, _ = strategy.aggregate_fit(1, results(), [])

    assert [ins.config for _, ins in asked] == [{}, {}]
    assert values(parameters) == [10.75, 11.5]  # (10 + (1.5, 2) + 10 + (0, 1)) / 2


def test_clients_are_told_how_far_to_clip() -> None:
    strategy = DifferentialPrivacyClientSideFixedClipping(FedAvg(), 0.0, 2.5, 2)

    asked = strategy.configure_fit(1, START, manager())
    parameters, _ = strategy.aggregate_fit(1, results(), [])

    assert [ins.config for _, ins in asked] == [{"clipping_norm": 2.5}] * 2
    assert values(parameters) == [11.5, 12.5]  # as they came


@pytest.mark.parametrize("kind", FIXED)
def test_noise_has_the_spread_of_the_mean(kind: type[Any]) -> None:
    found: Results = [(KnownClient("1"), trained(*[0.0] * 20_000))]
    strategy = kind(FedAvg(), 2.0, 3.0, 6)
    strategy.configure_fit(1, ndarrays_to_parameters([np.zeros(20_000)]), manager())

    parameters, _ = strategy.aggregate_fit(1, found, [])

    assert np.std(values(parameters)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", [*FIXED, *ADAPTIVE])
def test_a_failure_or_nothing_keeps_the_model(
    kind: type[Any], caplog: pytest.LogCaptureFixture
) -> None:
    norms = {"clipping_norm": 1.0} if kind in FIXED else {}
    strategy = kind(FedAvg(), noise_multiplier=0.0, num_sampled_clients=2, **norms)
    strategy.configure_fit(1, START, manager())

    assert strategy.aggregate_fit(1, results(norm_bit=True), [ValueError()]) == (None, {})
    assert strategy.aggregate_fit(1, [], []) == (None, {})
    assert "0 clients returned parameters, but noise is made for 2" in caplog.text
    assert repr(strategy).startswith("Differential Privacy Strategy Wrapper (")


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_the_norm_follows_the_share_of_clipped_updates(kind: type[Any]) -> None:
    strategy = kind(FedAvg(), 0.0, 2, 2.0, 0.25, 0.4)
    strategy.configure_fit(1, START, manager())

    strategy.aggregate_fit(1, results(norm_bit=True), [])  # one of two was clipped

    assert strategy.clipping_norm == pytest.approx(2.0 * np.exp(-0.4 * (0.5 - 0.25)))
    sent = strategy.configure_fit(2, START, manager())[0][1].config
    is_told = kind is DifferentialPrivacyClientSideAdaptiveClipping
    assert sent == ({"clipping_norm": strategy.clipping_norm} if is_told else {})


def test_a_client_must_say_whether_it_clipped() -> None:
    strategy = DifferentialPrivacyClientSideAdaptiveClipping(FedAvg(), 0.0, 2)
    with pytest.raises(KeyError, match="adaptiveclipping_mod"):
        strategy.aggregate_fit(1, results(), [])


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: FIXED[0](FedAvg(), -1.0, 1.0, 2), "noise_multiplier"),
        (lambda: FIXED[0](FedAvg(), 1.0, 0.0, 2), "clipping norm"),
        (lambda: FIXED[0](FedAvg(), 1.0, 1.0, 0), "num_sampled_clients"),
        (lambda: ADAPTIVE[0](FedAvg(), 0.1, 20, 0.1, 1.5), "target_clipped_quantile"),
        (lambda: ADAPTIVE[0](FedAvg(), 0.1, 20, 0.1, 0.5, 0.0), "clip_norm_lr"),
        (lambda: ADAPTIVE[0](FedAvg(), 0.1, 20, 0.1, 0.5, 0.2, -1.0), "clipped_count_stddev"),
        (lambda: ADAPTIVE[0](FedAvg(), 9.0, 20), "too low"),
        (lambda: DPFedAvgFixed(FedAvg(), 2, 0.0), "clip_norm"),
        (lambda: DPFedAvgFixed(FedAvg(), 2, 1.0, -1), "noise_multiplier"),
    ],
)
def test_numbers_out_of_range_are_refused(make: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make()


@pytest.mark.parametrize(
    "strategy",
    [
        FIXED[0](FedAvg(initial_parameters=START), 0.0, 1.0, 2),
        DPFedAvgFixed(FedAvg(initial_parameters=START), 2, 1.0),
    ],
)
def test_everything_else_is_left_to_the_wrapped_strategy(strategy: Strategy) -> None:
    evaluated: list[tuple[ClientProxy, EvaluateRes]] = [
        (KnownClient("1"), EvaluateRes(OK, 2.0, 1, {}))
    ]

    assert strategy.initialize_parameters(manager()) == START
    assert len(strategy.configure_evaluate(1, START, manager())) == 2
    assert strategy.aggregate_evaluate(2, evaluated, []) == (2.0, {})
    assert strategy.evaluate(1, START) is None


def test_the_older_form_tells_norm_and_noise() -> None:
    by_server = DPFedAvgFixed(FedAvg(), 4, 0.5, 0.0)
    by_clients = DPFedAvgFixed(FedAvg(), 4, 0.5, 2.0, server_side_noising=False)

    sent = [s.configure_fit(1, START, manager())[0][1].config for s in (by_server, by_clients)]
    models = [values(s.aggregate_fit(1, results(), [])[0]) for s in (by_server, by_clients)]

    assert sent == [
        {"dpfedavg_clip_norm": 0.5},
        {"dpfedavg_clip_norm": 0.5, "dpfedavg_noise_stddev": 0.5},
    ]
    assert models == [[11.5, 12.5]] * 2  # no noise at all, or none on top of the clients'
    assert by_server.aggregate_fit(1, results(), [ValueError()]) == (None, {})


def test_the_older_adaptive_form_moves_its_norm() -> None:
    strategy = DPFedAvgAdaptive(
        FedAvg(), 2, 2.0, 0.0, clip_norm_lr=0.4, clip_norm_target_quantile=0.25
    )

    sent = strategy.configure_fit(1, START, manager())[0][1].config
    strategy.aggregate_fit(1, results(dpfedavg_norm_bit=True), [])

    assert sent == {"dpfedavg_clip_norm": 2.0, "dpfedavg_adaptive_clip_enabled": True}
    assert strategy.clip_norm == pytest.approx(2.0 * np.exp(-0.4 * 0.25))
    assert strategy.aggregate_fit(1, [], []) == (None, {})
    assert strategy.aggregate_fit(1, results(), [ValueError()]) == (None, {})
    assert repr(strategy) == "Strategy with DP with Adaptive Clipping enabled."
