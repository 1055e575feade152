import numpy as np
import pytest

from flwr.common import differential_privacy as dp
from flwr.common.dp import add_gaussian_noise, clip_by_l2
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays


def test_the_norm_is_that_of_all_arrays_together() -> None:
    assert dp.get_norm([np.asarray([3.0]), np.asarray([[4.0]]), np.asarray(12.0)]) == 13.0


def test_arrays_are_scaled_down_but_never_up() -> None:
    arrays = [np.asarray([3.0, 4.0], np.float32), np.asarray(0.0)]

    assert not dp.adaptive_clip_inputs_inplace(arrays, 10.0)
    assert dp.adaptive_clip_inputs_inplace(arrays, 2.5)
    assert arrays[0].tolist() == [1.5, 2.0]
    assert arrays[0].dtype == np.float32
    dp.clip_inputs_inplace(arrays, 1.25)
    assert arrays[0].tolist() == [0.75, 1.0]


def test_nothing_is_divided_by_a_norm_of_zero() -> None:
    zeros = [np.zeros(2)]

    assert not dp.adaptive_clip_inputs_inplace(zeros, 1.0)
    assert clip_by_l2(zeros, 1.0)[1] is False
    assert zeros[0].tolist() == [0.0, 0.0]


def test_updates_are_clipped_not_models() -> None:
    new, old = [np.asarray([13.0, 14.0]), np.asarray(10.0)], [np.full(2, 10.0), np.asarray(10.0)]

    assert dp.compute_adaptive_clip_model_update(new, old, 2.5)
    assert [a.tolist() for a in new] == [[11.5, 12.0], 10.0]
    dp.compute_clip_model_update(new, old, 1.25)
    assert new[0].tolist() == [10.75, 11.0]
    assert old[0].tolist() == [10.0, 10.0]


def test_noise_has_the_wanted_spread_and_is_repeatable() -> None:
    model = ndarrays_to_parameters([np.zeros(20_000, np.float32), np.asarray(1.0)])

    np.random.seed(1)  # noqa: NPY002  the generator that apps seed
    first, number = parameters_to_ndarrays(dp.add_gaussian_noise_to_params(model, 2.0, 3.0, 6))
    np.random.seed(1)  # noqa: NPY002
    again, _ = parameters_to_ndarrays(dp.add_gaussian_noise_to_params(model, 2.0, 3.0, 6))

    assert dp.compute_stdv(2.0, 3.0, 6) == 1.0
    assert first.dtype == np.float32
    assert np.std(first) == pytest.approx(1.0, abs=0.02)
    assert first.tolist() == again.tolist()
    assert number.shape == ()


def test_local_noise_is_that_of_the_gaussian_mechanism() -> None:
    model = ndarrays_to_parameters([np.zeros(20_000)])

    (blurred,) = parameters_to_ndarrays(
        dp.add_localdp_gaussian_noise_to_params(model, 1.0, 2.0, 0.1)
    )

    assert np.std(blurred) == pytest.approx(np.sqrt(2 * np.log(12.5)) / 2, rel=0.03)


def test_the_budget_is_shared_out_between_updates_and_count() -> None:
    assert dp.compute_adaptive_noise_params(1.0, 20.0, None) == pytest.approx((1.0, 1.1547005))
    assert dp.compute_adaptive_noise_params(0.0, 20.0, None) == (0.0, 0.0)
    assert dp.compute_adaptive_noise_params(1.0, 20.0, 3.0)[0] == 3.0
    with pytest.raises(ValueError, match=r"clipped_count_stddev 1\.0"):
        dp.compute_adaptive_noise_params(10.0, 20.0, None)


def test_the_older_forms_return_new_arrays() -> None:
    update = [np.asarray([3.0, 4.0])]

    clipped, was_clipped = clip_by_l2(update, 2.5)
    (noisy,) = add_gaussian_noise(update, 0.0)

    assert (clipped[0].tolist(), was_clipped) == ([1.5, 2.0], True)
    assert noisy.tolist() == update[0].tolist() == [3.0, 4.0]
    assert noisy is not update[0]
