from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from flwr.crypto.quantize import dequantize, quantize

TARGET = 1 << 22
FLOATS = arrays(
    st.sampled_from([np.float32, np.float64]),
    array_shapes(min_dims=0, max_dims=3, max_side=4),
    elements=st.floats(-100, 100, width=32),
)


@settings(deadline=None)
@given(FLOATS, st.floats(0.01, 64), st.integers(1, TARGET))
def test_there_and_back_is_clipping_with_an_error_of_less_than_one_step(
    array: NDArray[Any], clipping_range: float, target_range: int
) -> None:
    (whole,) = quantize([array], clipping_range, target_range)
    (back,) = dequantize([whole], clipping_range, target_range)

    assert whole.dtype == np.int64
    assert back.dtype == np.float64
    assert whole.shape == back.shape == array.shape
    assert ((whole >= 0) & (whole <= target_range)).all()
    step = 2 * clipping_range / target_range
    clipped = np.clip(array.astype(float), -clipping_range, clipping_range)
    assert (np.abs(back - clipped) <= step * (1 + 1e-6)).all()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=1, max_size=30))
def test_the_sum_of_quantized_vectors_is_the_sum_of_the_vectors(values: list[float]) -> None:
    vectors = [np.full(3, value) for value in values]
    total = np.sum([quantize([vector], 8.0, TARGET)[0] for vector in vectors], axis=0)

    (back,) = dequantize([total], 8.0, TARGET)

    exact = np.sum(vectors, axis=0)
    error = np.abs(back - (len(values) - 1) * 8.0 - exact)
    assert (error <= len(values) * 16 / TARGET * (1 + 1e-6)).all()


def test_the_ends_of_the_range_are_exact() -> None:
    (whole,) = quantize([np.array([-np.inf, -9, -8, 0, 8, 9, np.inf])], 8.0, TARGET)

    assert whole.tolist() == [0, 0, 0, TARGET // 2, TARGET, TARGET, TARGET]


def test_rounding_is_right_on_average() -> None:
    (whole,) = quantize([np.full(100_000, 0.3)], 1.0, 4)  # exactly 2.6

    assert set(whole.tolist()) == {2, 3}
    assert whole.mean() == pytest.approx(2.6, abs=0.008)  # 5 standard deviations


def test_equal_seeds_give_equal_integers() -> None:
    array = np.linspace(-3, 3, 7) * 1.2345
    np.random.seed(3)  # noqa: NPY002  what apps call

    (whole,) = quantize([array], 2.0, 1000)

    assert whole.tolist() == [0, 0, 191, 500, 809, 1000, 1000]  # upstream 1.29.0's


@pytest.mark.parametrize("ranges", [(0.0, 4), (-1.0, 4), (float("nan"), 4), (1.0, 0), (1.0, -1)])
def test_an_empty_range_is_refused(ranges: tuple[float, int]) -> None:
    for convert in (quantize, dequantize):
        with pytest.raises(ValueError, match="positive"):
            convert([np.zeros(1)], *ranges)


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="NaN"):
        quantize([np.array([1.0, np.nan])], 8.0, TARGET)
