import numpy as np

from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict
from flwr.simulation.packing import ALONGSIDE_FROM, Packed, pack, unpack


def content(count: int) -> RecordDict:
    model = ArrayRecord([np.arange(count, dtype=np.float32), np.zeros(3)])
    return RecordDict({"arrays": model, "config": ConfigRecord({"lr": 0.5})})


def test_what_is_packed_comes_back() -> None:
    before = content(100_000)
    assert unpack(pack(before)) == before


def test_the_data_of_a_large_array_is_shared_with_its_owner() -> None:
    before = content(100_000)
    packed = pack(before)
    (buffer,) = packed.buffers
    assert isinstance(buffer, memoryview)
    assert buffer.obj is before["arrays"]["0"].data
    assert len(packed.pickle) < 1000
    assert packed.size == len(packed.pickle) + len(buffer)


def test_small_arrays_go_into_the_pickle() -> None:
    assert pack(content(ALONGSIDE_FROM // 8)).buffers == ()


def test_an_unpacked_array_reads_the_memory_it_arrived_in_and_copies_on_demand() -> None:
    packed = pack(content(10_000))
    memory = bytearray(packed.buffers[0])
    array: Array = unpack(Packed(packed.pickle, [memoryview(memory)]))["arrays"]["0"]
    memory[-4:] = np.float32(7).tobytes()
    assert array.numpy()[-1] == 7
    assert array.numpy().flags.writeable
    data = array.data
    assert isinstance(data, bytes)
    memory[-4:] = bytes(4)
    assert array.data is data
    assert array.numpy()[-1] == 7


def test_a_lent_array_is_an_array_like_others() -> None:
    before = content(10_000)
    packed = pack(before)
    after = unpack(Packed(packed.pickle, [memoryview(bytes(b)) for b in packed.buffers]))
    assert repr(after) == repr(before)
    assert unpack(pack(after)) == before
    assert not hasattr(after["arrays"]["0"], "nonsense")
