"""Arrays over mapped files: they look like fresh ones, and nobody else sees what is written."""

import errno
import mmap
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from flwr.app.array import Array, lend, parts_of, scan
from flwr.app.in_place import MappedFile, _Pages, map_file, side_by_side
from flwr.app.npy import encode_ndarray
from flwr.app.parts import cut
from flwr.core.limits import ARRAY_CHUNK_BYTES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="moves pages as Linux does")

PAGE = mmap.PAGESIZE
STEP = 16 * PAGE
MODEL = np.random.default_rng(1).random((1_000, 1_100), np.float32)  # 4.4 MB


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> _Pages:
    """Return the pages of one test; none is spoilt by another."""
    pages = _Pages()
    monkeypatch.setattr("flwr.app.in_place._pages", lambda: pages)
    return pages


class Files:
    """A directory of files, each a part of an array."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._paths = directory, list[Path]()

    def hold(
        self,
        ndarray: np.ndarray[Any, Any],
        *,
        step: int = STEP,
        lead: int = PAGE,
        load: Callable[[int, int], mmap.mmap] = map_file,
    ) -> Array:
        """Return ``ndarray`` in mapped files."""
        parts = list[memoryview]()
        for piece in cut((encode_ndarray(ndarray),), step):
            path = self._directory / str(len(self._paths))
            self._paths.append(path)
            path.write_bytes(bytes(lead) + b"".join(piece))
            with path.open("rb") as file:
                parts.append(memoryview(load(file.fileno(), path.stat().st_size))[lead:])
        return lend(str(ndarray.dtype), ndarray.shape, "numpy.ndarray", *parts)

    @property
    def content(self) -> list[bytes]:
        return [path.read_bytes() for path in self._paths]

    @property
    def writable(self) -> int:
        """How many ranges of files this process might write to, in memory of its own."""
        lines = Path("/proc/self/maps").read_text().splitlines()
        return sum(f"{self._directory}/" in line and " rw-p " in line for line in lines)


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Files]:
    files = Files(tmp_path)
    yield files
    assert files.writable == 0, "unmapped when the test has let go"


def chunks_of(ndarray: np.ndarray[Any, Any]) -> int:
    return -(-len(encode_ndarray(ndarray)) // STEP)


def test_pages_are_shown_side_by_side_and_not_copied(files: Files) -> None:
    array = files.hold(MODEL)

    found = array.numpy()

    assert files.writable == chunks_of(MODEL)
    assert np.array_equal(found, MODEL)
    assert (found.dtype, found.shape) == (MODEL.dtype, MODEL.shape)
    assert found.flags.writeable
    assert found.flags.aligned
    assert found.flags.c_contiguous
    assert found.ctypes.data % 64 == 0


def test_whole_chunks_of_the_wire_fit() -> None:
    assert ARRAY_CHUNK_BYTES % 65_536 == 0, "whatever the size of a page"


def test_nobody_sees_what_another_writes(files: Files) -> None:
    array = files.hold(MODEL)
    before = files.content

    first, second = array.numpy(), array.numpy()
    assert files.writable == 2 * chunks_of(MODEL)
    first += 1
    assert np.array_equal(second, MODEL)
    second[:] = 7

    assert np.array_equal(first, MODEL + 1)
    assert np.array_equal(array.numpy(), MODEL)
    assert array.data == encode_ndarray(MODEL)
    assert files.content == before


def test_what_was_written_outlives_the_array_and_its_use(files: Files) -> None:
    array = files.hold(MODEL)
    found = array.numpy()
    found += 1
    _, blocks = scan(array)  # lets go of the files' pages on the way
    assert np.array_equal(np.concatenate([block.copy() for block in blocks]), MODEL.reshape(-1))
    del array, blocks

    assert np.array_equal(found, MODEL + 1)


def test_views_keep_the_pages_and_nothing_else_does(files: Files) -> None:
    array = files.hold(MODEL)
    found = array.numpy()
    del array
    corner = found.reshape(-1)[:3].view(np.uint32)
    del found

    assert files.writable == chunks_of(MODEL)
    assert np.array_equal(corner.view(np.float32), MODEL[0, :3])
    del corner
    assert files.writable == 0


def test_a_child_process_writes_for_itself(files: Files) -> None:
    found = files.hold(MODEL).numpy()
    child = os.fork()
    if child == 0:
        found[:] = 0
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert np.array_equal(found, MODEL)


@pytest.mark.parametrize(
    "ndarray",
    [
        np.asfortranarray(MODEL),
        MODEL.astype(">f8"),
        MODEL.reshape(10, 100, 100, 11),
        np.arange(STEP * 40, dtype=np.uint8)[: 40 * STEP - 128],  # ends with a page
        np.arange(2_097_152 // 8).astype(np.complex64),
        np.zeros(3_000_001, bool),
    ],
    ids=lambda ndarray: f"{ndarray.dtype}{ndarray.shape}",
)
def test_arrays_are_what_they_were(files: Files, ndarray: np.ndarray[Any, Any]) -> None:
    found = files.hold(ndarray).numpy()

    assert files.writable == chunks_of(ndarray)
    assert np.array_equal(found, ndarray)
    assert (found.dtype, found.shape) == (ndarray.dtype, ndarray.shape)
    assert found.flags.f_contiguous == ndarray.flags.f_contiguous
    found[...] = 0
    assert not found.any()


def test_one_chunk_may_lie_in_many_places(files: Files) -> None:
    """As all chunks but the first and the last of a model of zeros: they are one object."""
    first, chunk, _, last = parts_of(files.hold(np.zeros(STEP // 4 * 3, np.float32)))
    whole = side_by_side((first, *[chunk] * 50, last))

    assert whole is not None
    assert files.writable == 52
    assert len(whole) == 51 * STEP + len(last)
    whole[STEP : STEP + 10] = b"x" * 10
    assert bytes(whole[2 * STEP : 2 * STEP + 10]) == bytes(10) == bytes(chunk[:10])


@pytest.mark.parametrize(
    ("ndarray", "options"),
    [
        (MODEL, {"lead": PAGE - 1}),
        (MODEL, {"step": STEP + 8}),
        (MODEL, {"load": lambda file, size: mmap.mmap(file, size, prot=mmap.PROT_READ)}),
        (MODEL[:100], {}),  # too small
        (MODEL.view("f4,f4"), {}),
        (np.zeros(3_000_000, "S1"), {}),
    ],
)
def test_what_does_not_fit_is_copied(
    files: Files, ndarray: np.ndarray[Any, Any], options: dict[str, Any]
) -> None:
    array = files.hold(ndarray, **options)

    found = array.numpy()

    assert files.writable == 0
    assert np.array_equal(found, ndarray)
    assert found.flags.writeable
    found[0] = found[-1]
    assert np.array_equal(array.numpy(), ndarray)


def test_an_old_kernel_is_asked_once(
    files: Files, pages: _Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[int]()

    class OldKernel:
        def mremap(self, address: int, old: int, new: int, flags: int, to: int | None) -> int:
            asked.append(flags)
            return 2**64 - 1

    monkeypatch.setattr(pages, "_libc", OldKernel())
    array = files.hold(MODEL)
    for _ in range(2):
        assert np.array_equal(array.numpy(), MODEL)
    assert files.writable == 0
    assert len(asked) == 1
    assert not asked[0] & 2, "not MREMAP_FIXED, which would have left a hole"


def test_no_c_library_is_no_harm(
    files: Files, pages: _Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_libc", None)
    assert np.array_equal(files.hold(MODEL).numpy(), MODEL)
    assert files.writable == 0


class Failing:
    """The C library, of which a call fails."""

    def __init__(self, real: Any, **failing: Callable[..., int]) -> None:
        self._real, self._failing = real, failing

    def __getattr__(self, name: str) -> Any:
        return self._failing.get(name) or getattr(self._real, name)


def test_a_failure_midway_is_not_risked_again(
    files: Files, pages: _Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, moved = pages._libc, list[int | None]()

    def mremap(address: int, old: int, new: int, flags: int, to: int | None) -> int:
        moved.append(to)
        result: int = real.mremap(address, old, new, flags, to) if len(moved) < 5 else 2**64 - 1
        return result

    monkeypatch.setattr(pages, "_libc", Failing(real, mremap=mremap))
    array = files.hold(MODEL)
    for _ in range(2):
        assert np.array_equal(array.numpy(), MODEL)
    assert len(moved) == 5
    (place,) = pages._never_given_back
    assert len(place) == len(encode_ndarray(MODEL))
    pages._never_given_back.clear()  # nobody else maps anything in this test


def test_pages_that_cannot_be_written_are_copied(
    files: Files, pages: _Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_libc", Failing(pages._libc, mprotect=lambda *_: -1))
    array = files.hold(MODEL)
    found = array.numpy()
    assert np.array_equal(found, MODEL)
    assert found.flags.writeable
    assert not pages._never_given_back


def test_no_addresses_left_is_no_harm(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    array = files.hold(MODEL)

    class Full(mmap.mmap):
        def __new__(cls, *_args: Any, **_named: Any) -> Self:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr("flwr.app.in_place.mmap.mmap", Full)
        assert np.array_equal(array.numpy(), MODEL)
    assert files.writable == 0


def test_no_descriptors_are_needed_to_decode(files: Files) -> None:
    before = descriptors()
    array = files.hold(MODEL)
    held = descriptors()
    assert held - before == (0 if sys.version_info >= (3, 13) else chunks_of(MODEL))
    found = array.numpy()
    assert files.writable == chunks_of(MODEL)
    assert descriptors() == held
    del array
    assert descriptors() == before
    assert np.array_equal(found, MODEL)


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_threads_that_decode_at_once_get_an_array_each(files: Files) -> None:
    array = files.hold(MODEL)
    found = list[np.ndarray[Any, Any]]()

    def decode(number: int) -> None:
        ndarray = array.numpy()
        ndarray += number
        found.append(ndarray - number)

    threads = [threading.Thread(target=decode, args=(2**number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=10)

    assert len(found) == 8
    assert all(np.allclose(one, MODEL, atol=1e-4) for one in found)


def test_a_mapped_file_cannot_be_written(files: Files) -> None:
    array = files.hold(MODEL)
    (first, *_) = parts_of(array)
    assert isinstance(first, memoryview)
    assert first.readonly
    assert isinstance(first.obj, MappedFile)
