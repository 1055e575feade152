"""The contents that jobs share, above all the round's model: each once in memory for all."""

import threading
import weakref
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from weakref import WeakKeyDictionary

from flwr.simulation.arena import ArenaWriter, open_arena
from flwr.simulation.frames import Sent, send
from flwr.simulation.packing import Packed


class Contents:
    """Places contents and frees them when no job has them and no worker reads them any more."""

    def __init__(self) -> None:
        self._file = open_arena()
        self._arena = ArenaWriter(self._file.fileno())
        self._lock = threading.Lock()
        self._sent: WeakKeyDictionary[Packed, Sent] = WeakKeyDictionary()
        self._dropped: list[int] = []  # offsets of contents no job has; noted by the collector
        self._orphans: set[int] = set()  # of these, those that are still read
        self._readings: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)

    @property
    def descriptor(self) -> int:
        """What a worker inherits to read them."""
        return self._file.fileno()

    @property
    def taken(self) -> int:
        """How many bytes of shared memory are in use."""
        with self._lock:
            self._collect()
            return self._arena.taken

    def lend(self, content: Packed, reader: Hashable) -> Sent:
        """Return where ``reader`` finds a content; it says when it has finished with it."""
        with self._lock:
            self._collect()
            sent = self._sent.get(content)
            if sent is None:
                sent = self._sent[content] = self._place(content)
            if sent.place is not None:
                self._readings[reader][sent.place.offset] += 1
            return sent

    def take_back(self, reader: Hashable, offsets: Iterable[int]) -> None:
        """Note that ``reader`` has finished with contents, one offset per lending."""
        with self._lock:
            self._readings[reader].subtract(offsets)
            self._collect()

    def forget(self, reader: Hashable) -> None:
        """Note that ``reader`` is no more."""
        with self._lock:
            self._readings.pop(reader, None)
            self._collect()

    def close(self) -> None:
        """Free all; nobody reads any more."""
        self._file.close()

    def _place(self, content: Packed) -> Sent:
        sent = send(content, self._arena)
        if sent.place is not None:
            note = weakref.finalize(content, self._dropped.append, sent.place.offset)
            note.atexit = False
        return sent

    def _collect(self) -> None:
        while self._dropped:
            self._orphans.add(self._dropped.pop())
        for offset in [o for o in self._orphans if not self._is_read(o)]:
            self._orphans.remove(offset)
            self._arena.free(offset)

    def _is_read(self, offset: int) -> bool:
        return any(readings[offset] > 0 for readings in self._readings.values())
