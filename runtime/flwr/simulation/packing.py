"""Values as bytes between a run and its workers: a pickle, and beside it the bytes of large arrays.

Both ends are this user's own processes running the same app, so a pickle crosses no trust boundary.
The data of an array is never copied into the pickle: it stays where it is until a backend moves it,
and arrays that are unpacked read it where it then lies.
"""

import copyreg
import io
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from flwr.app.array import Array, lend, raw

Buffer = bytes | memoryview
ALONGSIDE_FROM: Final = 4096  # bytes of data; smaller arrays go into the pickle
_PROTOCOL: Final = 5


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Packed:
    """A value as bytes; compared and remembered by identity, so that a backend moves it once."""

    pickle: bytes
    buffers: Sequence[Buffer] = ()

    @property
    def size(self) -> int:
        """How many bytes it has in all."""
        return len(self.pickle) + sum(len(buffer) for buffer in self.buffers)


def pack(value: Any) -> Packed:
    """Return ``value`` as bytes; large arrays of it are shared, not copied."""
    output, buffers = io.BytesIO(), list[Buffer]()

    def set_aside(buffer: pickle.PickleBuffer) -> None:
        buffers.append(buffer.raw())

    pickler = pickle.Pickler(output, _PROTOCOL, buffer_callback=set_aside)
    pickler.dispatch_table = _reducers(len(copyreg.dispatch_table))
    pickler.dump(value)
    return Packed(output.getvalue(), tuple(buffers))


def unpack(packed: Packed) -> Any:
    """Return what was packed; its large arrays read the buffers for as long as they live."""
    return pickle.loads(packed.pickle, buffers=packed.buffers)  # noqa: S301  # ours, see above


@lru_cache(1)
def _reducers(_count: int) -> dict[Any, Any]:
    """Return how values are taken apart; made anew when an app has registered more."""
    return {**copyreg.dispatch_table, Array: _reduce_array}


def _reduce_array(array: Array) -> tuple[Any, ...]:
    data = raw(array)
    if len(data) < ALONGSIDE_FROM:
        return lend, (array.dtype, array.shape, array.stype, bytes(data))
    return lend, (array.dtype, array.shape, array.stype, pickle.PickleBuffer(data))
