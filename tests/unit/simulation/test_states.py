import os
from contextlib import suppress
from pathlib import Path

import pytest

from flwr.simulation import states as module
from flwr.simulation.states import NodeStates, StateRefusedError

MB = 1024 * 1024


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def opened() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(entry.readlink()))
    return found


def test_a_state_is_kept_per_partition() -> None:
    states = NodeStates()
    assert states.get(3) is None
    states.put(3, b"three")
    states.put(4, b"four")
    states.put(3, b"drei")
    assert (states.get(3), states.get(4), states.get(5)) == (b"drei", b"four", None)
    states.close()
    assert states.get(3) is None


def test_what_does_not_fit_into_memory_lies_in_a_file_without_a_name() -> None:
    states = NodeStates(memory_bytes=4 * MB)
    states.put(0, bytes(MB))
    before = resident_bytes()
    for partition in range(100):
        states.put(partition, bytes([partition]) * MB)
    assert resident_bytes() - before < 20 * MB
    assert states.get(7) == bytes([7]) * MB
    assert states.get(99) == bytes([99]) * MB
    assert [name for name in opened() if "etilqs" in name and name.endswith(" (deleted)")]
    states.close()
    assert not [name for name in opened() if "etilqs" in name]


def test_a_state_that_cannot_be_kept_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    states = NodeStates(memory_bytes=MB)
    states.put(1, b"small")
    monkeypatch.setattr(module, "MAX_STATE_BYTES", 100)
    with pytest.raises(StateRefusedError, match="has 101 bytes"):
        states.put(1, bytes(101))
    assert states.get(1) == b"small"
