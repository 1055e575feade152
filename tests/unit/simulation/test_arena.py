import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import ArrayRecord, RecordDict
from flwr.simulation import arena
from flwr.simulation.arena import ArenaReader, ArenaWriter, open_arena
from flwr.simulation.contents import Contents
from flwr.simulation.packing import Packed, pack, unpack

PAGE = 4096


class Shared:
    """Both ends of one arena."""

    def __init__(self) -> None:
        self.file = open_arena()
        self.writer = ArenaWriter(self.file.fileno())
        self.reader = ArenaReader(self.file.fileno())

    @property
    def bytes_in_memory(self) -> int:
        return os.fstat(self.file.fileno()).st_blocks * 512


@pytest.fixture
def shared() -> Iterator[Shared]:
    made = Shared()
    yield made
    made.file.close()


def block(pages: int, value: int = 1) -> bytes:
    return bytes([value]) * (pages * PAGE)


def test_what_is_written_is_read_in_place(shared: Shared) -> None:
    buffers = [b"abc", b"", bytes(range(256)) * 100]
    views = shared.reader.read(shared.writer.write(buffers))
    assert [bytes(view) for view in views] == buffers
    assert all(view.readonly for view in views)
    assert {np.frombuffer(views[2], np.uint8).ctypes.data % 64} == {0}


def test_a_place_is_finished_with_when_nothing_of_it_is_read(shared: Shared) -> None:
    model = RecordDict({"arrays": ArrayRecord([np.arange(10_000.0), np.zeros(9_000)])})
    packed = pack(model)
    place = shared.writer.write(packed.buffers)
    record: RecordDict = unpack(Packed(packed.pickle, shared.reader.read(place)))
    assert record == model
    record = unpack(Packed(packed.pickle, shared.reader.read(place)))
    array = record["arrays"].pop("1")
    again = pack(RecordDict({"arrays": ArrayRecord({"x": array})}))
    del record, array
    assert shared.reader.take_finished() == (place.offset,)  # the first reading
    assert shared.reader.take_finished() == ()
    del again
    assert shared.reader.take_finished() == (place.offset,)


def test_free_places_are_used_again_and_joined(shared: Shared) -> None:
    places = [shared.writer.write([block(4)]) for _ in range(4)]
    for number in (0, 2, 1):
        shared.writer.free(places[number].offset)
    assert shared.writer.write([block(12)]).offset == places[0].offset
    assert shared.writer.taken == 16 * PAGE


def test_memory_beyond_what_is_kept_for_reuse_goes_back(
    shared: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arena, "_SPARE_MAX", 10 * PAGE)
    places = [shared.writer.write([block(8)]) for _ in range(5)]
    assert shared.bytes_in_memory == 40 * PAGE
    for place in places:
        shared.writer.free(place.offset)
    assert shared.bytes_in_memory == 8 * PAGE
    place = shared.writer.write([block(40, value=7)])
    assert bytes(shared.reader.read(place)[0]) == block(40, value=7)


def test_more_buffers_than_the_kernel_takes_at_once(shared: Shared) -> None:
    buffers = [bytes([n % 256]) * 10 for n in range(2000)]
    assert [bytes(v) for v in shared.reader.read(shared.writer.write(buffers))] == buffers


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 30_000)), max_size=40))
def test_places_never_overlap(steps: list[tuple[bool, int]]) -> None:
    shared = Shared()
    written: dict[int, bytes] = {}
    readings: dict[int, list[memoryview]] = {}
    for number, (is_free, size) in enumerate(steps):
        if is_free and written:
            offset = min(written)
            del written[offset], readings[offset]
            shared.writer.free(offset)
        else:
            data = bytes([number % 256]) * size
            place = shared.writer.write([data])
            written[place.offset], readings[place.offset] = data, shared.reader.read(place)
    assert {offset: bytes(views[0]) for offset, views in readings.items()} == written
    shared.file.close()


def model() -> Packed:
    return pack(RecordDict({"arrays": ArrayRecord([np.ones(100_000)])}))


def test_a_content_is_placed_once_and_stays_while_somebody_reads_it() -> None:
    contents, content = Contents(), model()
    sent = [contents.lend(content, reader) for reader in ("a", "b", "b")]
    assert sent[0] is sent[1] is sent[2]
    assert sent[0].place is not None
    offset = sent[0].place.offset
    size = contents.taken
    assert 800_000 < size < 810_000
    del content
    contents.take_back("a", [offset])
    contents.take_back("b", [offset])
    assert contents.taken == size
    contents.take_back("b", [offset])
    assert contents.taken == 0
    contents.close()


def test_a_dead_reader_reads_nothing() -> None:
    contents, content = Contents(), model()
    contents.lend(content, "a")
    del content
    assert contents.taken > 0
    contents.forget("a")
    assert contents.taken == 0
    contents.close()


def test_a_content_that_jobs_have_stays_though_nobody_reads_it() -> None:
    contents, content = Contents(), model()
    place = contents.lend(content, "a").place
    assert place is not None
    contents.take_back("a", [place.offset])
    assert contents.taken > 0
    assert contents.lend(content, "b").place == place
    contents.close()


def test_what_is_small_goes_through_the_pipe() -> None:
    contents = Contents()
    small = pack(RecordDict({"arrays": ArrayRecord([np.ones(5_000)])}))
    sent = contents.lend(small, "a")
    assert sent.place is None
    assert contents.taken == 0
    assert all(isinstance(buffer, bytes) for buffer in sent.buffers)
    contents.close()
