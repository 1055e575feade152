"""The ``.npy`` format: equal to numpy's in every byte, and its parser asked once per form."""

import mmap
import re
import sys
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any, Literal
from unittest.mock import Mock

import numpy as np
import pytest
from numpy.lib import format as npy_format

from flwr.app.array import Array, lend, own, parts_of, scan
from flwr.app.npy import decode_ndarray, decode_parts, encode_ndarray
from flwr.app.parts import cut

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
        assert decode_ndarray(data).dtype == array.dtype


PLAIN = ["?", "b", "B", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16", "g"]


@pytest.mark.parametrize("kind", PLAIN)
def test_headers_of_plain_types_are_numpys(kind: str) -> None:
    orders: tuple[Literal["C", "F"], ...] = ("C", "F")
    shapes: list[tuple[int, ...]] = [(), (0,), (7,), (3, 4), (2, 1, 12), (1,) * 30]
    for shape, order, endian in product(shapes, orders, "<>"):
        array = np.zeros(shape, np.dtype(endian + kind), order)
        expected = BytesIO()
        np.save(expected, array, allow_pickle=False)

        assert encode_ndarray(array) == expected.getvalue()
        read = decode_ndarray(expected.getvalue())
        assert (read.dtype, read.shape) == (array.dtype, array.shape)
        assert read.flags.f_contiguous == array.flags.f_contiguous


def test_numpys_parser_which_compiles_python_is_not_asked_for_plain_types(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parse = Mock(wraps=npy_format.read_array_header_1_0)
    write = Mock(wraps=npy_format.write_array_header_1_0)
    monkeypatch.setattr(npy_format, "read_array_header_1_0", parse)
    monkeypatch.setattr(npy_format, "write_array_header_1_0", write)

    for length in range(50):
        assert decode_ndarray(encode_ndarray(np.ones((length, 13), np.float32))).size == 13 * length

    assert not parse.called
    assert not write.called


@pytest.mark.parametrize("shape", ["(-1,)", "(7, 1, (2))", "(7 ,)"])
def test_a_header_that_numpy_does_not_write_is_read_as_numpy_reads_it(shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(28)

    assert _outcome(decode_ndarray, data) == _outcome(
        lambda data: np.load(BytesIO(data), allow_pickle=False), data
    )


def _outcome(read: Callable[[bytes], Any], data: bytes) -> tuple[int, ...] | None:
    try:
        shape: tuple[int, ...] = read(data).shape
    except (ValueError, MemoryError):
        return None
    return shape


def test_names_of_fields_may_have_any_letters() -> None:
    array, stream = np.array([(1, 2.0)], dtype=[("Ω", "i4"), ("b", "f8")]), BytesIO()
    with pytest.warns(UserWarning, match="format 3.0"):
        np.save(stream, array)

    read = decode_ndarray(stream.getvalue())

    assert read.dtype == array.dtype
    assert read.tolist() == array.tolist()


@pytest.mark.parametrize("letters", ["é", "Ω", "語", "\U0001f600", "\\Ω", "'Ω", '"Ω'])
def test_names_of_fields_are_read_as_numpy_reads_them(letters: str) -> None:
    array, stream = (
        np.zeros(3, [(letters, "<i4"), ("b", [(letters + "x", ">f8", (2,))])]),
        BytesIO(),
    )
    npy_format.write_array(stream, array, version=(3, 0))

    read = decode_ndarray(stream.getvalue())

    assert read.dtype == np.load(BytesIO(stream.getvalue())).dtype == array.dtype


@pytest.mark.parametrize("length", [9_000, 10_001])
def test_a_header_may_have_as_many_letters_as_numpy_reads(length: int) -> None:
    array, stream = np.zeros(1, [("語" * 2_500, "i4")]), BytesIO()
    npy_format.write_array(stream, array, version=(3, 0))
    text = stream.getvalue()[12:-5].decode().rstrip().ljust(length - 1) + "\n"
    header = text.encode()
    data = b"\x93NUMPY\x03\x00" + len(header).to_bytes(4, "little") + header + bytes(4)

    assert _outcome(decode_ndarray, data) == _outcome(lambda data: np.load(BytesIO(data)), data)
    assert (_outcome(decode_ndarray, data) is None) == (length > 10_000)


@pytest.mark.parametrize("left", [9, 11, 20, 75])
def test_a_header_of_version_3_that_is_cut_off_is_refused(left: int) -> None:
    stream = BytesIO()
    npy_format.write_array(stream, np.zeros(0, [("Ω", "i4")]), version=(3, 0))

    with pytest.raises(ValueError):  # noqa: PT011  numpy's own texts
        decode_ndarray(stream.getvalue()[:left])


def test_a_version_that_nobody_knows_is_refused() -> None:
    data = encode_ndarray(np.ones(2)).replace(b"\x93NUMPY\x01", b"\x93NUMPY\x04")
    with pytest.raises(ValueError, match=re.escape("version (4, 0)")):
        decode_ndarray(data)


@pytest.mark.row("F34")
@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "shape",
    ["(250000000000,)", "(4294967296, 4294967296)", "(-1,)", "(-2, -3)", f"({'9' * 19},)"],
)
def test_a_header_that_claims_more_than_there_is_costs_no_memory(shape: str, version: int) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    length = len(header).to_bytes(2 if version == 1 else 4, "little")
    data = b"\x93NUMPY" + bytes([version, 0]) + length + header + bytes(28)

    tracemalloc.start()
    try:
        with pytest.raises(ValueError):  # noqa: PT011  some are numpy's own texts
            decode_ndarray(data)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 10_000_000


def test_a_remembered_header_is_no_excuse_for_bytes_that_are_cut_off() -> None:
    data = encode_ndarray(np.arange(100.0))
    decode_ndarray(data)

    with pytest.raises(ValueError, match="cut off"):
        decode_ndarray(data[:-1])


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}{array.shape}")
@pytest.mark.parametrize("step", [1, 7, 128, 131])
def test_bytes_in_several_places_are_the_same_array(array: np.ndarray[Any, Any], step: int) -> None:
    parts = tuple(bytes(b"".join(piece)) for piece in cut((encode_ndarray(array),), step))

    decoded = decode_parts(parts)

    assert np.array_equal(decoded, array)
    assert (decoded.dtype, decoded.shape) == (array.dtype, array.shape)
    assert decoded.flags.writeable
    assert lend("", (), "", *parts).data == encode_ndarray(array)


@pytest.mark.parametrize("at", [0, 1, 3])
def test_elements_are_scanned_where_they_lie_however_they_are_cut(at: int) -> None:
    model = np.random.default_rng(2).random(200_001, np.float32)
    data = b"x" * at + encode_ndarray(model)
    parts = [b"".join(piece) for piece in cut((memoryview(data)[at:],), 70_001)]
    array = lend("float32", model.shape, "numpy.ndarray", *parts)

    header, blocks = scan(array)

    assert np.array_equal(np.concatenate([block.copy() for block in blocks]), model)
    assert (header.shape, header.dtype) == (model.shape, model.dtype)
    assert parts_of(array) == tuple(parts), "nothing was put together"


def test_a_large_array_is_copied_once_and_a_sum_not_at_all() -> None:
    model = np.arange(2_000_000, dtype=np.float32)

    (copied,) = parts_of(Array(model))
    owned = parts_of(own(model))

    assert not np.shares_memory(np.frombuffer(copied, np.uint8), model)
    assert memoryview(copied).readonly
    assert np.shares_memory(np.frombuffer(owned[1], np.uint8), model)
    assert b"".join(owned) == bytes(copied) == encode_ndarray(model)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel what is resident")
def test_mapped_files_are_let_go_once_they_are_read(tmp_path: Path) -> None:
    model = np.arange(2_000_000, dtype=np.float32)
    files = [tmp_path / str(number) for number in range(4)]
    for file, piece in zip(files, cut((encode_ndarray(model),), 2_000_100), strict=False):
        file.write_bytes(b"".join(piece))
    mapped = []
    for file in files:
        with file.open("rb") as opened:
            mapped.append(memoryview(mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ)))

    for _ in range(2):
        assert np.array_equal(decode_parts(tuple(mapped)), model)
        assert resident_of(files) == 0
        header, blocks = scan(lend("float32", model.shape, "numpy.ndarray", *mapped))
        assert sum(block.size for block in blocks) == model.size == header.shape[0]
        assert resident_of(files) <= files[-1].stat().st_size + mmap.PAGESIZE, "the last"


def resident_of(files: list[Path]) -> int:
    """Return how many bytes of mapped files this process has in memory."""
    resident, is_ours = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0]:
            is_ours = any(line.endswith(str(file)) for file in files)
        elif is_ours and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024
    return resident


@pytest.mark.parametrize("kind", ["V0", "S0", "U0"])
def test_elements_of_no_bytes_can_be_scanned(kind: str) -> None:
    file = BytesIO()
    header = {"descr": f"|{kind}", "fortran_order": False, "shape": (2, 3)}
    npy_format.write_array_header_1_0(file, header)

    array = Array(dtype=kind, shape=(2, 3), stype="numpy.ndarray", data=file.getvalue())
    found, elements = scan(array)

    assert found.shape == (2, 3)
    assert sum(block.size for block in elements) == 6
