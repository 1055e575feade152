"""Launch tokens."""

import hashlib

from flwr.auth import app_tokens


def test_a_token_has_256_hex_digits_and_is_never_the_same() -> None:
    first, second = app_tokens.new_token(), app_tokens.new_token()

    assert len(first) == 256
    assert set(first) <= set("0123456789abcdef")
    assert first != second


def test_a_lease_is_kept_under_the_sha_256_of_the_tokens_text() -> None:
    assert app_tokens.hash_token("abc") == hashlib.sha256(b"abc").hexdigest()


def test_the_header_counts_only_once_and_not_empty() -> None:
    assert app_tokens.find_token(app_tokens.token_headers("t")) == "t"
    assert app_tokens.find_token([]) is None
    assert app_tokens.find_token([("flwr-app-token", "")]) is None
    assert app_tokens.find_token([("flwr-app-token", "a"), ("flwr-app-token", "a")]) is None
    assert app_tokens.find_token([("flwr-app-token", b"bytes")]) is None
    assert app_tokens.find_token([("flwr-app-token", "a" * 10_000)]) is None
