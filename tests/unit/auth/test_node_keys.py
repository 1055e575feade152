"""Node signatures: what upstream makes is accepted, what we make has upstream's form."""

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from flwr.auth import node_keys
from flwr.auth.node_keys import NodeProof
from flwr.core.errors import ErrorKind
from flwr.crypto import ecdsa
from tests.unit.auth.vectors import VECTORS

VECTOR = VECTORS["node_auth"]
AT = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
KEY = ec.derive_private_key(int(VECTOR["private_value_hex"], 16), ec.SECP384R1())
PEM = VECTOR["public_key_pem"].encode()
HEADERS: list[tuple[str, str | bytes]] = [
    ("flwr-public-key-bin", base64.b64decode(VECTOR["metadata"]["flwr-public-key-bin"].split()[0])),
    ("flwr-timestamp", VECTOR["metadata"]["flwr-timestamp"]),
    ("flwr-signature-bin", bytes.fromhex(VECTOR["metadata"]["flwr-signature-bin_hex"])),
]


@pytest.fixture
def key(tmp_path: Path) -> node_keys.NodeKey:
    path = tmp_path / "node"
    path.write_bytes(
        KEY.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.OpenSSH,
            serialization.NoEncryption(),
        )
    )
    return node_keys.load_node_key(path)


def replaced(name: str, value: str | bytes) -> list[tuple[str, str | bytes]]:
    return [(key, value if key == name else old) for key, old in HEADERS]


@pytest.mark.row("S35")
def test_upstreams_signature_is_accepted() -> None:
    assert node_keys.verify_call(HEADERS, now=AT) == NodeProof(PEM, AT)


def test_our_headers_have_upstreams_form(key: node_keys.NodeKey) -> None:
    headers = node_keys.sign_call(key, at=AT)

    assert headers[:2] == tuple(HEADERS[:2])
    assert headers[2][0] == "flwr-signature-bin"
    assert len(headers[2][1]) in range(98, 105)
    assert node_keys.verify_call(headers, now=AT).public_key == key.public_pem


def test_a_time_in_another_zone_is_signed_in_utc(key: node_keys.NodeKey) -> None:
    from datetime import timezone

    headers = node_keys.sign_call(key, at=AT.astimezone(timezone(timedelta(hours=5))))

    assert headers[1] == HEADERS[1]


@pytest.mark.parametrize("name", [name for name, _ in HEADERS])
def test_a_missing_empty_or_repeated_header_counts_as_missing(name: str) -> None:
    without = [pair for pair in HEADERS if pair[0] != name]
    twice = [*HEADERS, *(pair for pair in HEADERS if pair[0] == name)]
    empty = replaced(name, b"" if name.endswith("-bin") else "")

    for headers in (without, twice, empty):
        with pytest.raises(node_keys.MissingNodeProofError) as caught:
            node_keys.verify_call(headers, now=AT)
        assert caught.value.message == "Missing authentication metadata"
        assert caught.value.kind is ErrorKind.UNAUTHENTICATED


@pytest.mark.row("F18")
@pytest.mark.parametrize(
    ("age_s", "accepted"),
    [(-5.0, False), (-4.999, True), (0.0, True), (304.999, True), (305.0, False)],
)
def test_the_window_is_open_at_both_ends(age_s: float, accepted: bool) -> None:
    now = AT + timedelta(seconds=age_s)

    if accepted:
        assert node_keys.verify_call(HEADERS, now=now).public_key == PEM
        return
    with pytest.raises(node_keys.NodeTimestampError, match="Invalid timestamp"):
        node_keys.verify_call(HEADERS, now=now)


@pytest.mark.row("F18")
def test_a_refused_timestamp_says_by_how_much_the_clocks_differ() -> None:
    with pytest.raises(node_keys.NodeTimestampError) as behind:
        node_keys.verify_call(HEADERS, now=AT + timedelta(minutes=10))
    with pytest.raises(node_keys.NodeTimestampError) as ahead:
        node_keys.verify_call(HEADERS, now=AT - timedelta(days=1))

    assert "600 s behind" in behind.value.hint
    assert "86400 s ahead of" in ahead.value.hint


@pytest.mark.row("S35", "F25")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flwr-signature-bin", b"\x30\x02"),
        ("flwr-signature-bin", b"x" * 1_000_000),
        ("flwr-public-key-bin", b"not a key"),
        ("flwr-public-key-bin", b"x" * 1_000_000),
        ("flwr-public-key-bin", ecdsa.public_pem(ecdsa.new_private_key().public_key())),
        ("flwr-timestamp", "2026-03-01T12:00:00.123457+00:00"),
    ],
)
def test_a_forged_proof_is_refused(name: str, value: str | bytes) -> None:
    with pytest.raises(node_keys.NodeSignatureError, match="Invalid signature"):
        node_keys.verify_call(replaced(name, value), now=AT)


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T12:00:00", "9" * 5000, "2026-13-01"])
def test_a_malformed_timestamp_is_refused(text: str) -> None:
    with pytest.raises(node_keys.NodeTimestampError, match="Invalid timestamp"):
        node_keys.verify_call(replaced("flwr-timestamp", text), now=AT)


def test_public_keys_have_one_stored_form() -> None:
    openssh = VECTOR["public_key_openssh"].encode()

    assert node_keys.parse_public_key(openssh) == node_keys.parse_public_key(PEM) == PEM
    assert node_keys.parse_public_key(PEM.replace(b"\n", b"\r\n")) == PEM
    assert node_keys.fingerprint(PEM) == node_keys.fingerprint(openssh)


def test_the_refusal_of_a_public_key_is_the_text_the_cli_compares() -> None:
    with pytest.raises(node_keys.PublicKeyError) as caught:
        node_keys.parse_public_key(b"junk")

    assert caught.value.message == "The provided public key is not valid"
    assert caught.value.kind is ErrorKind.FAILED_PRECONDITION
    assert node_keys.fingerprint(b"junk") == "unreadable"


def test_a_key_list_has_one_key_a_line_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "nodes.pub"
    line = VECTOR["public_key_openssh"]
    path.write_text(f"# our site\n\n{line} hospital-a\n{line}\n", encoding="utf-8")

    assert node_keys.load_public_keys(path) == [PEM]


def test_a_key_list_names_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "nodes.pub"
    path.write_text("# fine\nssh-rsa AAAA\n", encoding="utf-8")

    with pytest.raises(node_keys.KeyFileError, match="line 2"):
        node_keys.load_public_keys(path)


def test_key_files_that_are_missing_or_of_another_kind_are_named(tmp_path: Path) -> None:
    missing, public = tmp_path / "missing", tmp_path / "node.pub"
    public.write_text(VECTOR["public_key_openssh"], encoding="utf-8")

    with pytest.raises(node_keys.KeyFileError, match="missing: No such file"):
        node_keys.load_node_key(missing)
    with pytest.raises(node_keys.KeyFileError, match=r"node\.pub: not a private key") as caught:
        node_keys.load_node_key(public)
    assert "ssh-keygen" in caught.value.hint
    assert node_keys.load_public_key(public) == PEM


def test_a_key_pair_never_shows_its_private_half() -> None:
    assert "private" not in repr(node_keys.new_node_key())
