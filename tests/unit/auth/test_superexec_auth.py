"""The HMAC of a SuperExec, against upstream's vectors in both directions."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flwr.auth import superexec_auth
from flwr.auth.superexec_auth import SuperExecRefusedError, SuperExecSecret, SuperExecVerifier
from flwr.core.errors import ErrorKind, UnavailableError
from tests.unit.auth.vectors import VECTORS

VECTOR = VECTORS["superexec_hmac"]
SECRET = SuperExecSecret.derive(VECTOR["master_secret_ascii"].encode())
METHOD = "/flwr.proto.ServerAppIo/RequestToken"
AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def test_the_key_is_derived_as_upstream_does() -> None:
    assert SECRET.key.hex() == VECTOR["derived_secret_hex"]


@pytest.mark.parametrize("case", VECTOR["cases"])
def test_headers_equal_upstreams_in_both_directions(case: dict[str, Any]) -> None:
    headers, body = case["headers"], bytes.fromhex(case["body_hex"])
    at = datetime.fromtimestamp(int(headers["flwr-superexec-ts"]), UTC)

    made = superexec_auth.sign_call(
        SECRET, case["method"], body, at=at, nonce=headers["flwr-superexec-nonce"]
    )

    assert dict(made) == headers
    SuperExecVerifier(SECRET).verify(headers.items(), case["method"], body, now=at)


def test_a_proof_works_once_per_method() -> None:
    verifier = SuperExecVerifier(SECRET)
    headers = superexec_auth.sign_call(SECRET, METHOD, b"body", at=AT)

    verifier.verify(headers, METHOD, b"body", now=AT)

    with pytest.raises(SuperExecRefusedError) as caught:
        verifier.verify(headers, METHOD, b"body", now=AT + timedelta(seconds=304))
    assert caught.value.message == "Authentication failed."
    assert caught.value.kind is ErrorKind.UNAUTHENTICATED


@pytest.mark.row("F22")
def test_a_proof_is_bound_to_method_body_and_secret() -> None:
    headers = superexec_auth.sign_call(SECRET, METHOD, b"body", at=AT)
    stranger = SuperExecVerifier(SuperExecSecret.derive(b"another"))

    with pytest.raises(SuperExecRefusedError):
        SuperExecVerifier(SECRET).verify(headers, METHOD, b"other", now=AT)
    with pytest.raises(SuperExecRefusedError):
        SuperExecVerifier(SECRET).verify(headers, METHOD + "x", b"body", now=AT)
    with pytest.raises(SuperExecRefusedError):
        stranger.verify(headers, METHOD, b"body", now=AT)


@pytest.mark.parametrize("age_s", [-5, 305])
def test_a_proof_outside_the_window_is_refused(age_s: int) -> None:
    headers = superexec_auth.sign_call(SECRET, METHOD, b"", at=AT)

    with pytest.raises(SuperExecRefusedError):
        SuperExecVerifier(SECRET).verify(headers, METHOD, b"", now=AT + timedelta(seconds=age_s))


@pytest.mark.row("F21", "F25")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flwr-superexec-ts", "now"),
        ("flwr-superexec-ts", "9" * 100),
        ("flwr-superexec-nonce", "short"),
        ("flwr-superexec-body-sha256", ""),
        ("flwr-superexec-signature", "\udcff"),
    ],
)
def test_malformed_headers_are_refused(name: str, value: str) -> None:
    headers = dict(superexec_auth.sign_call(SECRET, METHOD, b"", at=AT)) | {name: value}

    with pytest.raises(SuperExecRefusedError):
        SuperExecVerifier(SECRET).verify(headers.items(), METHOD, b"", now=AT)
    with pytest.raises(SuperExecRefusedError):
        SuperExecVerifier(SECRET).verify([], METHOD, b"", now=AT)


def test_memory_for_nonces_is_bounded_and_freed_by_time() -> None:
    verifier = SuperExecVerifier(SECRET, max_nonces=3)
    for second in range(3):
        at = AT + timedelta(seconds=second)
        verifier.verify(superexec_auth.sign_call(SECRET, METHOD, b"", at=at), METHOD, b"", now=at)
    full = AT + timedelta(seconds=3)
    with pytest.raises(UnavailableError):
        verifier.verify(
            superexec_auth.sign_call(SECRET, METHOD, b"", at=full), METHOD, b"", now=full
        )

    later = AT + timedelta(seconds=305)

    verifier.verify(superexec_auth.sign_call(SECRET, METHOD, b"", at=later), METHOD, b"", now=later)


def test_the_secret_file_is_read_as_raw_bytes(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"secret\n")

    assert superexec_auth.load_secret(path) == SuperExecSecret.derive(b"secret\n")
    assert "key" not in repr(superexec_auth.load_secret(path))


def test_a_missing_or_empty_secret_file_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()

    with pytest.raises(superexec_auth.SecretFileError, match="is empty"):
        superexec_auth.load_secret(empty)
    with pytest.raises(superexec_auth.SecretFileError, match="No such file"):
        superexec_auth.load_secret(tmp_path / "missing")
