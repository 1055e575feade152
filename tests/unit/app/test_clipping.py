import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import Array, ArrayRecord
from flwr.app.clipping import scale_update, update_norm

OLD: dict[str, Any] = {"a": np.array([1.0, 2.0]), "b": np.array(0.0)}


def record(a: list[float], b: float, dtype: str = "float64") -> ArrayRecord:
    return ArrayRecord({"b": Array(np.array(b, dtype)), "a": Array(np.array(a, dtype))})


def test_the_norm_is_that_of_the_change_in_all_arrays() -> None:
    assert update_norm(OLD, record([4, 6], 12)) == 13
    assert update_norm(OLD, record([1, 2], 0)) == 0


def test_the_change_is_scaled_in_place() -> None:
    new = record([4, 6], 12)

    scale_update(OLD, new, 0.5)

    assert new["a"].numpy().tolist() == [2.5, 4.0]
    assert new["b"].numpy() == 6.0
    assert OLD["a"].tolist() == [1, 2]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_norm_of_what_is_not_finite_is_not_finite(bad: float) -> None:
    assert not math.isfinite(update_norm(OLD, record([bad, 6], 1)))
    assert not math.isfinite(update_norm({**OLD, "b": np.array(bad)}, record([1, 2], bad)))


@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float16", "float16"), ("float32", "float32"), ("int64", "float64")]
)
def test_floats_keep_their_type_and_do_not_overflow(dtype: str, wanted: str) -> None:
    old = {name: array.astype(dtype) for name, array in OLD.items()}
    new = record([1000, 2], 0, dtype)

    assert update_norm(old, new) == 999
    scale_update(old, new, 1 / 999)

    assert new["a"].dtype == wanted
    assert new["a"].numpy().tolist() == [2, 2]


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), st.floats(0.01, 1e3))
def test_scaling_to_a_norm_reaches_it(a: list[float], norm: float) -> None:
    new = record(a, 3)

    scale_update(OLD, new, norm / update_norm(OLD, new))

    assert update_norm(OLD, new) == pytest.approx(norm, rel=1e-6)
