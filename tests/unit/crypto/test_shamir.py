import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.crypto import shamir
from flwr.crypto.shamir import ShareError

# Shares of upstream 1.29.0 (threshold 2 of 3) of b"made by upstream".
UPSTREAMS = [
    "01000000bd5aebe7641821d3db85cdeccf5c466ee096cdc3a634f8183795ebb4a83f23b6",
    "02000000cd167b61a896c8c7289b0e4508172fecf11dabb77c59c0005f1be759604e77db",
    "030000001d2df4e3ecec9034866eb0ddb52e08ef019b7664ca7d2808789e1cfdd861447d",
]


@st.composite
def sharings(draw: st.DrawFn) -> tuple[bytes, int, int]:
    count = draw(st.integers(2, 7))
    return draw(st.binary(max_size=70)), draw(st.integers(2, count)), count


@settings(max_examples=25, deadline=None)
@given(sharings(), st.randoms(use_true_random=False))
def test_any_threshold_of_shares_give_the_secret(
    sharing: tuple[bytes, int, int], choice: random.Random
) -> None:
    secret, threshold, count = sharing
    shares = shamir.split(secret, threshold, count)

    chosen = choice.sample(shares, choice.randint(threshold, count))

    assert shamir.combine(chosen) == secret
    assert len(set(shares)) == count


def test_every_set_of_enough_shares_does_and_none_of_fewer() -> None:
    secret = bytes(range(32))
    shares = shamir.split(secret, 3, 5)

    for few in (1, 2):
        for chosen in combinations(shares, few):
            assert combined(chosen) != secret
    for chosen in combinations(shares, 3):
        assert shamir.combine(chosen) == secret


@settings(max_examples=25, deadline=None)
@given(sharings())
def test_fewer_shares_than_the_threshold_fit_every_other_secret_too(
    sharing: tuple[bytes, int, int],
) -> None:
    secret, threshold, count = sharing
    shares = shamir.split(secret, threshold, count)

    assert combined(shares[: threshold - 1]) != secret or not secret
    # What one share shows has no relation to the secret: shared again, all of it differs.
    assert shamir.split(secret, threshold, count)[0] != shares[0]


def test_a_single_share_is_evenly_distributed_whatever_the_secret() -> None:
    bits = [0, 0]
    for index, secret in enumerate((bytes(16), b"\xff" * 15)):
        shares = [shamir.split(secret, 2, 2)[0][4:20] for _ in range(100)]
        bits[index] = sum(int.from_bytes(share).bit_count() for share in shares)

    for ones in bits:  # of 12,800 fair coins; 5 standard deviations are 283
        assert abs(ones - 6400) < 283


def test_the_layout_is_the_one_upstream_writes() -> None:
    shares = shamir.split(bytes(33), 2, 3)

    assert [share[:4] for share in shares] == [b"\1\0\0\0", b"\2\0\0\0", b"\3\0\0\0"]
    assert {len(share) for share in shares} == {4 + 3 * 16}
    theirs = [bytes.fromhex(share) for share in UPSTREAMS]
    assert shamir.combine(theirs[1:]) == b"made by upstream"


@pytest.mark.parametrize(
    "shares",
    [
        [],
        [b""],
        [b"\1\0\0\0"],
        [b"\1\0\0\0" + bytes(15)],
        [b"\1\0\0\0" + bytes(16), b"\2\0\0\0" + bytes(32)],
        [b"\1\0\0\0" + bytes(16), b"\1\0\0\0" + bytes(16)],
        [b"\0\0\0\0" + bytes(16), b"\1\0\0\0" + bytes(16)],
        [b"\1\0\0\0" + bytes(1 << 20), b"\2\0\0\0" + bytes(1 << 20)],
        [b"\1\0\0\0" + bytes(16), b"\2\0\0\0" + bytes(16)],  # the padding is missing
    ],
)
def test_what_is_no_sharing_is_refused(shares: list[bytes]) -> None:
    with pytest.raises(ShareError):
        shamir.combine(shares)


@pytest.mark.parametrize(("threshold", "count"), [(0, 3), (1, 3), (4, 3), (2, 1), (-1, 3)])
def test_a_threshold_that_protects_nothing_is_refused(threshold: int, count: int) -> None:
    with pytest.raises(ShareError, match="threshold"):
        shamir.split(b"secret", threshold, count)


def combined(shares: tuple[bytes, ...] | list[bytes]) -> bytes | None:
    try:
        return shamir.combine(shares)
    except ShareError:
        return None
