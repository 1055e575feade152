"""Random numbers that differ between the forks of one process as between fresh interpreters.

While an app is imported, this notes which generators start from the system's randomness; these
start anew before each fork.  What the import seeds itself is kept: a fresh interpreter would have
it too.
"""

import ctypes
import gc
import os
import random
import struct
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

_BLOCK_BITS: Final = 32 * 624  # one whole state of the Mersenne Twister
_MOST_BLOCKS: Final = 64  # drawn by an import; beyond that a state counts as seeded
_KEY_BYTES: Final = _BLOCK_BITS // 8
_USED_UP: Final = struct.pack("i", _BLOCK_BITS // 32)  # where a Twister stands that has a new key


class RandomNumbers:
    """The generators of this process; make it before the app's import."""

    def __init__(self) -> None:
        import numpy.random  # noqa: PLC0415  # after confinement, which its threads would escape

        self._numpy: Any = numpy.random
        self._global: Any = numpy.random.mtrand._rand  # noqa: SLF001  # what np.random.rand uses
        self._python_before = random.getstate()
        self._numpy_before = self._global.get_state(legacy=False)
        self._entropies: list[int] = []  # seeds that numpy took from the system meanwhile
        self._unseeded: weakref.WeakSet[random.Random] = weakref.WeakSet()
        self._pythons: list[random.Random] = []  # of these, those that the import has kept
        self._python_seeded: tuple[Any, ...] | None = None
        self._is_numpy_seeded = False
        self._memory: Any = None  # of numpy's global generator, if it lies as we know it
        self._states: list[Any] = []  # of numpy: RandomState, BitGenerator
        self._bits: list[Any] = []

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Note, while the block runs, which generators get no seed."""
        source = self._numpy.bit_generator
        method, function, take = random.Random.seed, random.seed, source.randbits
        unseeded, entropies = self._unseeded, self._entropies
        hidden: random.Random = random._inst  # noqa: SLF001

        def note(self: random.Random, a: Any = None, version: int = 2) -> None:
            (unseeded.add if a is None else unseeded.discard)(self)
            method(self, a, version)

        def note_global(a: Any = None, version: int = 2) -> None:
            note(hidden, a, version)

        def draw(bits: int) -> int:
            entropy: int = take(bits)
            entropies.append(entropy)
            return entropy

        random.Random.seed = note  # type: ignore[method-assign]
        random.seed = note_global
        source.randbits = draw
        try:
            yield
        finally:
            random.Random.seed = method  # type: ignore[method-assign]
            random.seed = function
            source.randbits = take
            self._note_seeds(hidden)

    def why_alike(self) -> str | None:
        """Return what forks would share all the same, None when nothing."""
        if not self._entropies:
            return None
        own = {id(bits.seed_seq) for bits in self._living(self._numpy.BitGenerator)}
        for seeds in self._living(self._numpy.SeedSequence):
            if id(seeds) not in own and seeds.entropy in self._entropies:
                return "its import keeps a SeedSequence of numpy without a seed"
        return None

    def renew(self) -> None:
        """Before each fork: begin anew with what has no seed of the app; Python's own does itself.

        Here and not in the fork, which would copy every page of memory that this touches.
        """
        for generator in self._pythons:
            generator.seed()
        if self._memory is not None:  # numpy itself goes through 20 functions for it: 100 pages
            self._memory.raw = os.urandom(_KEY_BYTES) + _USED_UP
        elif not self._is_numpy_seeded:
            self._global.seed()
        for state in self._states:
            state.seed()
        for bits in self._bits:
            type(bits).__init__(bits)

    def keep_seeds(self) -> None:
        """In a fork: go on with the app's own seed, if Python itself has drawn a new one."""
        if self._python_seeded is not None:
            random.setstate(self._python_seeded)

    def _note_seeds(self, hidden: random.Random) -> None:
        state = random.getstate()
        if hidden not in self._unseeded and not _is_drawn_python(self._python_before, state):
            self._python_seeded = state
        self._pythons = list(self._unseeded)
        after = self._global.get_state(legacy=False)
        drawn = self._is_drawn(self._numpy_before, after) or self._is_from_system(after)
        self._is_numpy_seeded = not drawn
        if drawn:
            self._global.seed()  # forgets the second of a pair of normal numbers, too
            self._memory = _memory_of(self._global._bit_generator)  # noqa: SLF001
        if not self._entropies:
            return
        known = {id(self._global._bit_generator)}  # noqa: SLF001
        for one in self._living(self._numpy.RandomState):
            bits = one._bit_generator  # noqa: SLF001
            if id(bits) not in known and self._is_unseeded(bits):
                self._states.append(one)
            known.add(id(bits))
        self._bits = [
            bits
            for bits in self._living(self._numpy.BitGenerator)
            if id(bits) not in known and self._is_unseeded(bits)
        ]

    def _living(self, kind: Any) -> Sequence[Any]:
        return [one for one in gc.get_objects() if isinstance(one, kind)]

    def _is_unseeded(self, bits: Any) -> bool:
        if isinstance(bits, self._numpy.MT19937):  # may have got another seed since it was made
            return self._is_from_system(bits.state)
        return getattr(bits.seed_seq, "entropy", None) in self._entropies

    def _is_from_system(self, state: Any) -> bool:
        """Tell whether a Mersenne Twister's state began with the system's randomness."""
        twister, seeds = self._numpy.MT19937, self._numpy.SeedSequence
        return any(self._is_drawn(twister(seeds(one)).state, state) for one in self._entropies)

    def _is_drawn(self, before: Any, after: Any) -> bool:
        """Tell whether drawing numbers from one state leads to the other."""
        if after["bit_generator"] != before["bit_generator"]:
            return False
        trial = self._numpy.MT19937(0)
        trial.state = before
        for _ in range(_MOST_BLOCKS):
            if (trial.state["state"]["key"] == after["state"]["key"]).all():
                return True
            trial.random_raw(_BLOCK_BITS // 32, output=False)
        return False


def _is_drawn_python(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    trial = random.Random()  # noqa: S311  # no secret
    trial.setstate(before)
    for _ in range(_MOST_BLOCKS):
        if trial.getstate()[1][:-1] == after[1][:-1]:
            return True
        trial.getrandbits(_BLOCK_BITS)
    return False


def _memory_of(twister: Any) -> Any:
    """Return where numpy keeps the state of a Mersenne Twister; None: it lies otherwise than so."""
    state = twister.state["state"]
    expected = state["key"].tobytes() + struct.pack("i", state["pos"])
    memory = (ctypes.c_char * len(expected)).from_address(twister.ctypes.state_address)
    return memory if memory.raw == expected else None
