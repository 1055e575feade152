from typing import Any

import numpy as np
import pytest

from flwr.app import Array, ArrayRecord
from tests.unit.app import fake_torch


def ndarrays() -> list[Any]:
    return [np.array([1.0, 2.0], np.float32), np.array(3)]


def test_a_list_of_ndarrays_is_numbered() -> None:
    record = ArrayRecord(ndarrays())

    assert list(record) == ["0", "1"]
    assert record["0"] == Array(ndarrays()[0])
    back = record.to_numpy_ndarrays()
    assert [a.tolist() for a in back] == [[1.0, 2.0], 3]
    assert [a.dtype for a in back] == [np.float32, np.int64]


def test_a_dict_of_arrays_gives_new_arrays_that_share_the_bytes() -> None:
    given = {"w": Array(np.ones(2))}

    record = ArrayRecord(given)

    assert record == given
    assert record["w"] is not given["w"]
    assert record["w"].data is given["w"].data


def test_a_torch_state_dict_goes_there_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_torch.load(monkeypatch)
    state = {"w": fake_torch.Tensor(ndarrays()[0])}

    record = ArrayRecord(state)
    back = record.to_torch_state_dict(keep_input=False)

    assert list(back) == ["w"]
    assert back["w"].numpy().tolist() == [1.0, 2.0]
    assert len(record) == 0


def test_torch_is_never_imported_for_the_app() -> None:
    with pytest.raises(RuntimeError, match="import torch"):
        ArrayRecord().to_torch_state_dict()


@pytest.mark.parametrize("empty", [(), ([],), ({},)])
def test_nothing_gives_an_empty_record(empty: tuple[Any, ...]) -> None:
    assert len(ArrayRecord(*empty)) == 0


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (((np.ones(1),),), {}),
        (({"a": np.ones(1)},), {}),
        (({1: Array(np.ones(1))},), {}),
        (([np.ones(1), 3],), {}),
        (([], []), {}),
        (([], False), {}),
        ((), {"array_dict": {}, "numpy_ndarrays": []}),
        ((), {"array_dict": []}),
        ((), {"arrays": []}),
    ],
)
def test_other_arguments_are_refused(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        ArrayRecord(*args, **named)


def test_not_keeping_a_list_empties_it() -> None:
    given = ndarrays()

    record = ArrayRecord(given, keep_input=False)

    assert given == []
    assert len(record) == 2


def test_not_keeping_a_dict_empties_it() -> None:
    given = {"w": Array(np.ones(2))}

    record = ArrayRecord(given, keep_input=False)

    assert given == {}
    assert list(record) == ["w"]


def test_not_keeping_the_record_empties_it_while_reading() -> None:
    record = ArrayRecord(ndarrays())

    assert len(record.to_numpy_ndarrays(keep_input=False)) == 2
    assert len(record) == 0


def test_writes_are_checked() -> None:
    record = ArrayRecord()

    with pytest.raises(TypeError, match="Array"):
        record["w"] = np.ones(1)  # type: ignore[assignment]
    with pytest.raises(TypeError, match="str"):
        record[1] = Array(np.ones(1))  # type: ignore[index]


def test_bytes_are_those_of_data_and_names() -> None:
    record = ArrayRecord({"weight": Array("f", (1,), "s", b"12345")})

    assert record.count_bytes() == 5 + 6


def test_named_constructors_do_the_same() -> None:
    assert ArrayRecord.from_numpy_ndarrays(ndarrays()) == ArrayRecord(ndarrays())
    assert ArrayRecord.from_array_dict({"w": Array(np.ones(1))})["w"] == Array(np.ones(1))
