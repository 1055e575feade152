"""The ``.npy`` format: equal to numpy's in every byte, and its parser asked once per form."""

from io import BytesIO
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.lib import format as npy_format

from flwr.app.npy import decode_ndarray, encode_ndarray, view_ndarray

ARRAYS = [
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
    np.arange(12.0).reshape(3, 4)[:, ::2],
    np.array(1.5),
    np.zeros((0, 3), np.float16),
    np.array(["a", "bcd"]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array(["2026-01-01"], dtype="datetime64[D]"),
    np.array([True, False]),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
def test_bytes_are_numpys_however_often_they_are_written(array: np.ndarray[Any, Any]) -> None:
    expected = BytesIO()
    np.save(expected, array, allow_pickle=False)

    for _ in range(2):
        data = encode_ndarray(array)
        assert data == expected.getvalue()
        assert np.array_equal(decode_ndarray(data), array)
        assert view_ndarray(data).dtype == array.dtype


def test_headers_of_one_form_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = Mock(wraps=npy_format.read_array_header_1_0)
    monkeypatch.setattr(npy_format, "read_array_header_1_0", parse)

    for number in range(50):
        data = encode_ndarray(np.full((7, 1, 13), number, np.float32))
        assert view_ndarray(data)[0, 0, 0] == number

    assert parse.call_count == 1


def test_a_remembered_header_is_no_excuse_for_bytes_that_are_cut_off() -> None:
    data = encode_ndarray(np.arange(100.0))
    decode_ndarray(data)

    with pytest.raises(ValueError, match="buffer"):
        decode_ndarray(data[:-1])
