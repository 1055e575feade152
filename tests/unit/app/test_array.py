from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from flwr.app import Array
from flwr.app.array import derived
from tests.unit.app import anything, fake_torch

FLOATS = np.array([[1.5, -2.0], [0.0, 3.0]], np.float32)

ANY_ARRAY = st.one_of(
    hnp.arrays(
        hnp.scalar_dtypes() | hnp.unicode_string_dtypes(max_len=3),
        hnp.array_shapes(min_dims=0, min_side=0),
    ),
)


def npy(ndarray: NDArray[Any]) -> bytes:
    stream = BytesIO()
    np.save(stream, ndarray, allow_pickle=False)
    return stream.getvalue()


def test_an_ndarray_becomes_its_npy_file() -> None:
    array = Array(FLOATS)

    assert (array.dtype, array.shape, array.stype) == ("float32", (2, 2), "numpy.ndarray")
    assert array.data == npy(FLOATS)
    assert type(array.data) is bytes


@anything.quick
@given(ANY_ARRAY, st.booleans())
def test_bytes_equal_those_of_numpy_save_and_read_back(
    ndarray: NDArray[Any], by_columns: bool
) -> None:
    ndarray = np.asarray(ndarray, order="F" if by_columns else "C")

    array = Array(ndarray)

    assert array.data == npy(ndarray)
    np.testing.assert_array_equal(array.numpy(), ndarray)
    assert array.numpy().dtype == ndarray.dtype


def test_a_view_with_strides_is_read_back_as_it_looked() -> None:
    strided = np.arange(24).reshape(4, 6)[::2, ::-3]

    np.testing.assert_array_equal(Array(strided).numpy(), strided)


def test_numpy_gives_a_fresh_writable_array_each_time() -> None:
    array = Array(FLOATS)

    array.numpy()[:] = 9

    np.testing.assert_array_equal(array.numpy(), FLOATS)


def test_fields_are_kept_as_given() -> None:
    array = Array("float32", (3,), "other.style", b"abc")

    assert array == Array(dtype="float32", shape=(3,), stype="other.style", data=b"abc")
    assert array != Array("float32", (3,), "other.style", b"abd")
    with pytest.raises(TypeError, match=r"other\.style"):
        array.numpy()


@pytest.mark.parametrize(
    "args",
    [
        (),
        ([1, 2],),
        (np.float32(1),),
        ("f", [1], "s", b""),
        ("f", (1.0,), "s", b""),
        ("f", (1,), "s", "text"),
        ("f", (1,), "s"),
        ("f", (1,), "s", b"", 5),
        (FLOATS, FLOATS),
    ],
)
def test_other_arguments_are_refused(args: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="Array takes"):
        Array(*args)


def test_a_field_given_twice_or_two_forms_at_once_are_refused() -> None:
    with pytest.raises(TypeError):
        Array("f", (1,), "s", b"", data=b"")  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        Array(FLOATS, dtype="f")  # type: ignore[call-overload]


@pytest.mark.row("F34")
def test_python_objects_are_never_pickled() -> None:
    with pytest.raises(ValueError, match="pickling"):
        Array(np.array([object()]))


@pytest.mark.row("F34")
def test_a_pickle_inside_a_npy_file_is_never_read() -> None:
    stream = BytesIO()
    np.save(stream, np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(ValueError, match="unpickling"):
        Array("object", (1,), "numpy.ndarray", stream.getvalue()).numpy()


@pytest.mark.parametrize("data", [b"", b"no npy file", npy(FLOATS)[:-1]])
def test_damaged_bytes_are_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  numpy's own texts
        Array("float32", (2, 2), "numpy.ndarray", data).numpy()


def test_a_tensor_is_detached_and_moved_to_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch.load(monkeypatch)
    tensor = fake_torch.Tensor(FLOATS)

    array = Array(tensor)

    assert array == Array(FLOATS)
    assert tensor.calls == ["detach", "cpu"]


def test_tensors_need_torch_to_be_loaded() -> None:
    with pytest.raises(RuntimeError, match="import torch"):
        Array.from_torch_tensor(object())


def test_what_is_derived_is_computed_once_until_a_field_is_set() -> None:
    array, made = Array(FLOATS), []

    def size(of: Array) -> int:
        made.append(of)
        return len(of.data)

    assert [derived(array, size), derived(array, size)] == [144, 144]
    array.data = b"xyz"
    assert derived(array, size) == 3
    assert len(made) == 2
