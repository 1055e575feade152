"""Random numbers of forks: new before each, but for what the app's import has seeded."""

import gc
import random
import sys
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import Any, Final

import numpy as np
import pytest

from flwr.shell import random_numbers
from flwr.shell.random_numbers import RandomNumbers, _memory_of

LEGACY: Final[Any] = np.random.mtrand._rand  # what ``np.random.random_sample`` and its like use


@pytest.fixture(autouse=True)
def states() -> Iterator[None]:
    ours, numpys = random.getstate(), LEGACY.get_state()
    yield
    random.setstate(ours)
    LEGACY.set_state(numpys)


def test_numpys_numbers_are_new_before_each_fork() -> None:
    numbers = RandomNumbers()
    with numbers.importing():
        LEGACY.standard_normal()  # numpy makes two at a time and keeps the second

    drawn = set()
    for _ in range(20):
        numbers.renew()
        drawn.add(LEGACY.standard_normal())

    assert len(drawn) == 20


def test_what_the_import_seeded_is_kept() -> None:
    numbers = RandomNumbers()
    with numbers.importing():
        LEGACY.seed(5)
    numbers.renew()

    assert LEGACY.random_sample() == np.random.RandomState(5).random_sample()


def test_a_renewed_generator_is_as_good_as_a_seeded_one() -> None:
    numbers = RandomNumbers()
    with numbers.importing():
        pass
    numbers.renew()

    again = np.random.RandomState()
    again.set_state(LEGACY.get_state())
    sample = LEGACY.random_sample(100_000)
    assert abs(sample.mean() - 0.5) < 0.01  # ten standard deviations
    assert np.array_equal(sample, again.random_sample(100_000))


def test_a_fork_does_not_pay_for_numpys_seeding() -> None:
    """Of its functions each one costs pages of memory that a fork shares."""
    numbers = RandomNumbers()
    with numbers.importing():
        pass
    called = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            called.append(frame.f_code.co_filename)

    gc.disable()  # finalizers of what other tests left are no steps of ours
    sys.setprofile(note)
    try:
        numbers.renew()
    finally:
        sys.setprofile(None)
        gc.enable()

    assert random_numbers.__file__ in called
    assert not [file for file in called if "numpy" in file or file.endswith("secrets.py")]


def test_memory_that_lies_otherwise_is_left_alone() -> None:
    known = np.random.MT19937(1)
    other = SimpleNamespace(
        state=np.random.MT19937(2).state,
        ctypes=SimpleNamespace(state_address=known.ctypes.state_address),
    )

    assert _memory_of(known) is not None
    assert _memory_of(other) is None
