import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from flwr.crypto import symmetric
from flwr.crypto.ecdsa import new_private_key, parse_private_key
from flwr.crypto.symmetric import DecryptionError

# Two keys and the secret that upstream 1.29.0 derives for their holders.
ONE = (
    b"MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDA66Mx8tszofGcsmZwGFyZm76JSuSLmueNi"
    b"XVnKtGh34VxFwXFBMbRI3FqWT65V47+hZANiAARIkQgJLyNg3wPUz4e1KAJ+vltbMKb4F1EUsYmFjQTZ"
    b"8+HYEIo+kTKMO0nnTzFGsIznLzzl7nNqrcITG5rWf6q2/n364SbOIbs/SJZy3t/2wjlPci6T3L9nUgct"
    b"mCWuEOs="
)
OTHER = (
    b"MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDDW9E1lvQOY5xHjCxCdmMuCl/Le6LGZAtzw"
    b"Qsc1Eh9r+ERSvQlNg6noD6vaggAA506hZANiAAQ/o1xmJ5F7aNGa+I4vb4iH5YOsG4jqTwsptkPfM2Zb"
    b"mkX79ikOP2G/Z23peSx2L11SrZrCELYq5J97+gte4vye4/DDsl577sfRcLCiGaaE4BsaPOjL4yPNghCY"
    b"MgvMD14="
)
THEIR_SECRET = b"4VzS-YCsNep28ijTiTuTStjJh3MuJhI_fU0vExZ6wts="


def test_both_holders_agree_on_one_key_and_nobody_else() -> None:
    one, other, third = new_private_key(), new_private_key(), new_private_key()

    key = symmetric.agree(one, other.public_key())

    assert symmetric.agree(other, one.public_key()) == key
    assert symmetric.agree(third, one.public_key()) != key
    assert len(key) == 44


def test_the_key_is_the_one_upstream_derives() -> None:
    one, other = parse_private_key(pem(ONE)), parse_private_key(pem(OTHER))

    assert symmetric.agree(one, other.public_key()) == THEIR_SECRET


def test_keys_on_different_curves_agree_on_nothing() -> None:
    with pytest.raises(ValueError, match="curve"):
        symmetric.agree(new_private_key(), ec.generate_private_key(ec.SECP256R1()).public_key())


def test_only_the_key_decrypts_and_only_what_was_encrypted() -> None:
    key, other = (symmetric.agree(new_private_key(), new_private_key().public_key()) for _ in "ab")
    token = symmetric.encrypt(key, b"shares")

    assert symmetric.decrypt(key, token) == b"shares"
    assert symmetric.encrypt(key, b"shares") != token
    altered = token[:50] + (b"A" if token[50:51] != b"A" else b"B") + token[51:]
    for wrong_key, wrong_token in ((other, token), (key, altered), (key, b""), (key, b"no token")):
        with pytest.raises(DecryptionError):
            symmetric.decrypt(wrong_key, wrong_token)


def test_a_code_authenticates_one_message_under_one_key() -> None:
    code = symmetric.authenticate(b"key", b"message")

    # What upstream 1.29.0 returns for the same arguments.
    assert code.hex() == "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"
    assert symmetric.is_authentic(b"key", b"message", code)
    assert not symmetric.is_authentic(b"other", b"message", code)
    assert not symmetric.is_authentic(b"key", b"massage", code)
    assert not symmetric.is_authentic(b"key", b"message", b"")


def pem(body: bytes) -> bytes:
    return b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n"
