"""The second signature of our own nodes: one call, once."""

from datetime import UTC, datetime, timedelta

import pytest

from flwr.auth import node_keys
from flwr.auth.headers import Headers
from flwr.auth.node_binding import ReplayGuard, is_bound, sign_bound_call, verify_bound_call
from flwr.auth.node_keys import (
    NodeProof,
    NodeSignatureError,
    read_claim,
    sign_call,
    verify_call,
)
from flwr.auth.nonces import NonceBook
from flwr.core.errors import UnavailableError

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY, OTHER = node_keys.new_node_key(), node_keys.new_node_key()
METHOD, BODY = "/flwr.proto.Fleet/PushMessages", b"request"
SECOND = timedelta(seconds=1)


def proof(at: datetime = AT) -> NodeProof:
    return NodeProof(KEY.public_pem, at)


def verify(headers: Headers, method: str = METHOD, body: bytes = BODY) -> NodeProof:
    pairs = tuple(headers)
    return verify_bound_call(pairs, read_claim(pairs, now=AT), method, body)


def test_a_bound_call_is_one_of_the_contract_too() -> None:
    headers = sign_bound_call(KEY, METHOD, BODY, at=AT)

    assert is_bound(headers)
    assert verify(headers) == proof()
    assert verify_call(headers, now=AT) == proof()


def test_a_node_that_does_not_bind_is_seen_to() -> None:
    assert not is_bound(sign_call(KEY, at=AT))


@pytest.mark.row("F24")
def test_the_second_signature_covers_method_body_time_and_nonce() -> None:
    headers = sign_bound_call(KEY, METHOD, BODY, at=AT)
    later = sign_call(KEY, at=AT + SECOND)
    again = sign_bound_call(KEY, METHOD, BODY, at=AT)
    others = sign_call(OTHER, at=AT)

    for changed, method, body in (
        (headers, METHOD + "x", BODY),
        (headers, METHOD, BODY + b"x"),
        ((*later, *headers[3:]), METHOD, BODY),
        ((*others, *headers[3:]), METHOD, BODY),
        ((*headers[:3], again[3], headers[4]), METHOD, BODY),
        (headers[:4], METHOD, BODY),
        ((*headers[:3], headers[4]), METHOD, BODY),
        ((*headers[:3], ("flwr-compose-nonce", "short"), headers[4]), METHOD, BODY),
        ((*headers, headers[3]), METHOD, BODY),
        ((*headers, headers[4]), METHOD, BODY),
    ):
        assert is_bound(changed)
        with pytest.raises(NodeSignatureError, match="Invalid signature"):
            verify(changed, method, body)


@pytest.mark.row("F24")
def test_a_call_is_made_once() -> None:
    guard = ReplayGuard()

    guard.check(proof(), "a", now=AT)
    guard.check(proof(), "b", now=AT)

    with pytest.raises(NodeSignatureError):
        guard.check(proof(), "a", now=AT + SECOND)


@pytest.mark.row("F24")
def test_leaving_the_second_signature_out_does_not_help_a_replay() -> None:
    guard = ReplayGuard()
    guard.check(proof(AT), "a", now=AT)
    guard.check(proof(AT - SECOND), "b", now=AT)

    for stolen in (AT, AT - SECOND):
        with pytest.raises(NodeSignatureError):
            guard.check(proof(stolen), None, now=AT + SECOND)


def test_an_upstream_node_with_the_same_key_is_served_at_once_and_may_repeat() -> None:
    guard = ReplayGuard()
    guard.check(proof(AT), "a", now=AT)

    for _ in range(2):
        guard.check(proof(AT + SECOND), None, now=AT + SECOND)
    guard.check(NodeProof(OTHER.public_pem, AT), None, now=AT + SECOND)


def test_what_the_window_refuses_anyway_is_forgotten() -> None:
    guard = ReplayGuard()
    guard.check(proof(AT), "a", now=AT)
    later = AT + timedelta(seconds=305)

    guard.check(NodeProof(OTHER.public_pem, later), "a", now=later)

    assert list(guard._keys) == [OTHER.public_pem]


@pytest.mark.row("F24", "F15")
def test_a_call_whose_body_took_long_is_remembered_from_its_end_on() -> None:
    guard = ReplayGuard()
    late = AT + timedelta(minutes=20)
    guard.check(proof(AT), "slow", now=late)
    guard.check(NodeProof(OTHER.public_pem, late), "a", now=late + SECOND)

    with pytest.raises(NodeSignatureError):
        guard.look(proof(AT), "slow")
    with pytest.raises(NodeSignatureError):
        guard.check(proof(AT), "slow", now=late + SECOND)


@pytest.mark.row("F25")
def test_a_full_book_of_nonces_is_not_sifted_at_every_call() -> None:
    book = NonceBook(max_nonces=3)
    book.use("long", until=AT + 9 * SECOND, now=AT)
    for nonce in "ab":
        book.use(nonce, until=AT + SECOND, now=AT)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            book.use("c", until=AT + SECOND, now=AT)
    assert book._sift_again_at == AT + SECOND
    assert book.use("c", until=AT + 9 * SECOND, now=AT + SECOND)
    assert "long" in book
    assert "a" not in book
