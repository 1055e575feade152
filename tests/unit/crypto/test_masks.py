import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.crypto.masks import MaskGenerator, is_modulus, make_mask, reduce

SEED = bytes(range(1, 33))
UPSTREAMS_MASK = [3486346898, 2823371482, 1033905133]  # by release 1.29.0
OUR_MASK = [1617847, 2433698056, 3902006571]
BOTH = list(MaskGenerator)


@pytest.mark.parametrize("generator", BOTH)
@settings(max_examples=40, deadline=None)
@given(seed=st.binary(min_size=32, max_size=32), bits=st.integers(1, 62), length=st.integers(0, 50))
def test_a_mask_depends_on_the_seed_alone_and_stays_below_the_modulus(
    generator: MaskGenerator, seed: bytes, bits: int, length: int
) -> None:
    mask = make_mask(generator, seed, 1 << bits, length)

    assert (mask == make_mask(generator, seed, 1 << bits, length)).all()
    assert mask.dtype == np.int64
    assert mask.shape == (length,)
    assert ((mask >= 0) & (mask < 1 << bits)).all()


@pytest.mark.parametrize("generator", BOTH)
def test_masks_of_two_seeds_have_nothing_in_common(generator: MaskGenerator) -> None:
    one, other = (make_mask(generator, bytes([n]) * 31 + b"x", 1 << 32, 20_000) for n in (1, 2))

    assert abs(np.corrcoef(one, other)[0, 1]) < 0.035  # 5 standard deviations
    assert one.mean() == pytest.approx(1 << 31, rel=0.03)


def test_the_strong_generator_uses_all_of_the_seed_the_weak_one_does_not() -> None:
    # Words swapped: the XOR of the words, all that MT19937 is given, stays the same.
    swapped = SEED[4:8] + SEED[:4] + SEED[8:]

    weak, strong = (
        [make_mask(generator, seed, 1 << 32, 8).tolist() for seed in (SEED, swapped)]
        for generator in (MaskGenerator.MT19937, MaskGenerator.CHACHA20)
    )

    assert weak[0] == weak[1]
    assert strong[0] != strong[1]


def test_the_weak_generator_draws_what_upstream_draws() -> None:
    assert make_mask(MaskGenerator.MT19937, SEED, 1 << 32, 3).tolist() == UPSTREAMS_MASK


def test_the_strong_generator_keeps_drawing_what_it_drew() -> None:
    assert make_mask(MaskGenerator.CHACHA20, SEED, 1 << 32, 3).tolist() == OUR_MASK


@pytest.mark.parametrize("modulus", [0, 1, -2, 3, 6, 1 << 63, (1 << 32) - 1])
def test_only_powers_of_two_are_a_modulus(modulus: int) -> None:
    assert not is_modulus(modulus)
    with pytest.raises(ValueError, match="power of two"):
        make_mask(MaskGenerator.CHACHA20, SEED, modulus, 1)


def test_the_weak_generator_wants_whole_words() -> None:
    with pytest.raises(ValueError, match="4-byte words"):
        make_mask(MaskGenerator.MT19937, b"12345", 1 << 32, 1)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30), st.integers(1, 62))
def test_reducing_is_the_remainder_also_of_negative_numbers(numbers: list[int], bits: int) -> None:
    vector = np.array(numbers, np.int64)

    reduce(vector, 1 << bits)

    assert vector.tolist() == [number % (1 << bits) for number in numbers]


def test_sums_that_go_round_in_int64_still_reduce_to_the_right_number() -> None:
    vector = np.full(3, 1 << 61, np.int64)
    for _ in range(4):
        vector += (1 << 62) - 1

    reduce(vector, 1 << 62)

    assert vector.tolist() == [((1 << 61) + 4 * ((1 << 62) - 1)) % (1 << 62)] * 3
