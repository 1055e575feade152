import numpy as np
import pytest

from flwr.common.typing import FitRes, NDArrays
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import aggregate as maths
from flwr.serverapp.exception import AggregationError
from tests.unit.server.clients import KnownClient, trained


def models(*values: float) -> list[tuple[NDArrays, int]]:
    return [([np.asarray([value, -value])], 1) for value in values]


def test_the_mean_is_weighted_by_examples() -> None:
    results = [
        ([np.asarray([1.0, 2.0]), np.asarray(4.0)], 1),
        ([np.asarray([3.0, 4.0]), np.asarray(0.0)], 3),
    ]

    assert [a.tolist() for a in maths.aggregate(results)] == [[2.5, 3.5], 1.0]


def test_adding_up_in_place_gives_the_same_mean() -> None:
    client = KnownClient("1")
    results: list[tuple[ClientProxy, FitRes]] = [
        (client, trained(1.0, 2.0)),
        (client, trained(3.0, 4.0, examples=3)),
    ]

    assert [a.tolist() for a in maths.aggregate_inplace(results)] == [[2.5, 3.5]]


def test_types_of_numbers_are_kept_and_integers_become_floats() -> None:
    floats = maths.aggregate([([np.asarray([1, 2], np.float32)], 1)] * 2)
    whole = maths.aggregate([([np.asarray([1, 2])], 1), ([np.asarray([2, 2])], 1)])

    assert floats[0].dtype == np.float32
    assert whole[0].tolist() == [1.5, 2.0]


def test_no_examples_are_no_mean() -> None:
    with pytest.raises(AggregationError, match="add up to 0"):
        maths.aggregate([([np.ones(1)], 0)])
    with pytest.raises(ZeroDivisionError):
        maths.weighted_loss_avg([(0, 1.0)])
    with pytest.raises(AggregationError):
        maths.aggregate_inplace([(KnownClient("1"), trained(1.0, examples=0))])


def test_a_loss_is_weighted_by_examples() -> None:
    assert maths.weighted_loss_avg([(1, 1.0), (3, 2.0)]) == 1.75


def test_the_median_and_the_trimmed_mean_ignore_extremes() -> None:
    found = models(1.0, 2.0, 3.0, 4.0, 1000.0)

    assert maths.aggregate_median(found)[0].tolist() == [3.0, -3.0]
    assert maths.aggregate_trimmed_avg(found, 0.2)[0].tolist() == [3.0, -3.0]
    with pytest.raises(AggregationError, match="too large"):
        maths.aggregate_trimmed_avg(found, 0.6)


def test_krum_takes_the_model_in_the_middle_of_most() -> None:
    found = models(1.0, 1.1, 1.3, 50.0)

    assert maths.aggregate_krum(found, 1, 0)[0].tolist() == [1.0, -1.0]
    kept = maths.aggregate_krum(found, 1, 2)[0]
    assert kept.tolist() == pytest.approx([1.05, -1.05])


def test_bulyan_averages_what_is_closest_to_the_median() -> None:
    found = models(1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 99.0)

    result = maths.aggregate_bulyan(found, 1, maths.aggregate_krum, to_keep=0)

    assert result[0].tolist() == pytest.approx([2.0, -2.0])
    default = maths.aggregate_bulyan(found, 1, maths.aggregate_krum)
    assert default[0].tolist() == result[0].tolist()
    with pytest.raises(ValueError, match="at least 7 models"):
        maths.aggregate_bulyan(found[:6], 1, maths.aggregate_krum, to_keep=0)


def test_bulyans_rule_must_choose_among_the_models() -> None:
    def invent(results: list[tuple[NDArrays, int]], num_malicious: int) -> NDArrays:
        return [np.asarray([0.123, 0.0])]

    with pytest.raises(ValueError, match="one of the models"):
        maths.aggregate_bulyan(models(*range(7)), 1, invent)


def test_the_fair_step_is_the_sum_of_steps_over_the_sum_of_slopes() -> None:
    deltas: list[NDArrays] = [[np.asarray([3.0, 4.0])], [np.asarray([1.0, 1.0])]]
    slopes: list[NDArrays] = [[np.asarray(2.0)], [np.asarray(6.0)]]

    stepped = maths.aggregate_qffl([np.asarray([1.0, 2.0])], deltas, slopes)

    assert stepped[0].tolist() == [0.5, 1.375]
