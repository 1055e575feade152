"""Ed25519 keys and signatures."""

import pytest

from flwr.crypto import ecdsa, ed25519

RFC_8032_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_8032_SIGNATURE = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)


def test_the_first_vector_of_rfc_8032_holds() -> None:
    key = ed25519.private_key_from_seed(RFC_8032_SEED)

    assert ed25519.sign(key, b"") == RFC_8032_SIGNATURE
    assert ed25519.is_signed(key.public_key(), b"", RFC_8032_SIGNATURE)
    assert not ed25519.is_signed(key.public_key(), b"x", RFC_8032_SIGNATURE)


@pytest.mark.parametrize("line", ["", "junk", "ssh-ed25519 AAAA"])
def test_text_that_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(ed25519.KeyFormatError):
        ed25519.parse_public_key(line)


def test_an_elliptic_curve_key_is_refused() -> None:
    pem = ecdsa.public_pem(ecdsa.new_private_key().public_key())

    with pytest.raises(ed25519.KeyFormatError):
        ed25519.parse_public_key(pem.decode())
