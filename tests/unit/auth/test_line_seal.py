"""Seals of a line: each frame by its node, in its order, once."""

import pytest

from flwr.auth.line_seal import SEAL_BYTES, BadSealError, LineKey, LineSeal
from flwr.auth.node_keys import PublicKeyError


def both_ends() -> tuple[LineSeal, LineSeal]:
    node, link = LineKey(), LineKey()
    return node.seal_of_node(link.public), link.seal_by_link(node.public)


def test_the_other_end_reads_frames_in_their_order() -> None:
    node, link = both_ends()
    frames = [b"", b"one", b"one", bytes(1000)]
    sealed = [node.seal(frame) for frame in frames]
    assert [len(s) - len(f) for s, f in zip(sealed, frames, strict=True)] == [SEAL_BYTES] * 4
    assert [link.open(one) for one in sealed] == frames


def test_a_frame_that_is_changed_repeated_or_of_another_line_is_refused() -> None:
    node, link = both_ends()
    first, second = node.seal(b"first"), node.seal(b"second")
    with pytest.raises(BadSealError):
        link.open(second)  # the first was left out
    node, link = both_ends()
    with pytest.raises(BadSealError):
        link.open(first)
    node, link = both_ends()
    frame = node.seal(b"frame")
    with pytest.raises(BadSealError):
        link.open(frame[:-1] + b"E")
    assert link is not None
    node, link = both_ends()
    frame = node.seal(b"frame")
    assert link.open(frame) == b"frame"
    with pytest.raises(BadSealError):
        link.open(frame)


def test_somebody_between_who_shows_both_a_key_of_his_own_can_seal_nothing() -> None:
    node, link, between = LineKey(), LineKey(), LineKey()
    breaks = link.seal_by_link(node.public)  # the node's key is signed: it cannot be replaced
    with pytest.raises(BadSealError):
        breaks.open(between.seal_of_node(link.public).seal(b"frame"))
    with pytest.raises(BadSealError):
        link.seal_by_link(node.public).open(node.seal_of_node(between.public).seal(b"frame"))


@pytest.mark.parametrize("key", [b"", b"no key", b"x" * 5000])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    with pytest.raises(PublicKeyError):
        LineKey().seal_by_link(key)
