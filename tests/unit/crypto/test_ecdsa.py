"""Keys and signatures on elliptic curves."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from flwr.crypto import ecdsa


def openssh_private(key: ecdsa.PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_private_keys_are_read_in_openssh_and_in_pem_form(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)

    from_openssh = ecdsa.parse_private_key(openssh_private(key))
    from_pem = ecdsa.parse_private_key(ecdsa.private_pem(key))

    assert from_openssh.private_numbers() == from_pem.private_numbers() == key.private_numbers()


@pytest.mark.parametrize("curve", [ec.SECP192R1(), ec.SECP224R1()])
def test_small_nist_curves_have_a_fingerprint_too(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve).public_key()

    parsed = ecdsa.parse_public_key(ecdsa.public_pem(key))

    assert ecdsa.fingerprint(parsed).startswith("SHA256:")


def test_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256K1())

    with pytest.raises(ecdsa.KeyFormatError, match="curve secp256k1"):
        ecdsa.parse_private_key(ecdsa.private_pem(key))
    with pytest.raises(ecdsa.KeyFormatError, match="curve secp256k1"):
        ecdsa.parse_public_key(ecdsa.public_pem(key.public_key()))


@pytest.mark.parametrize("data", [b"", b"junk", b"-----BEGIN PUBLIC KEY-----\nAA", b"\xff" * 100])
def test_bytes_that_are_no_key_are_refused_as_such(data: bytes) -> None:
    with pytest.raises(ecdsa.KeyFormatError):
        ecdsa.parse_public_key(data)
    with pytest.raises(ecdsa.KeyFormatError):
        ecdsa.parse_private_key(data)


@pytest.mark.row("F25")
def test_a_megabyte_is_refused_without_parsing_it() -> None:
    with pytest.raises(ecdsa.KeyFormatError, match="1000000 bytes"):
        ecdsa.parse_public_key(b"A" * 1_000_000)


def test_an_rsa_key_is_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

    with pytest.raises(ecdsa.KeyFormatError, match="RSAPrivateKey is not an elliptic-curve"):
        ecdsa.parse_private_key(pem)


def test_a_signature_holds_for_its_message_and_key_only() -> None:
    key, other = ecdsa.new_private_key(), ecdsa.new_private_key()

    signature = ecdsa.sign(key, b"message")

    assert ecdsa.is_signed(key.public_key(), b"message", signature)
    assert not ecdsa.is_signed(key.public_key(), b"massage", signature)
    assert not ecdsa.is_signed(other.public_key(), b"message", signature)
    assert not ecdsa.is_signed(key.public_key(), b"message", signature + b"\0" * 100)
    assert not ecdsa.is_signed(key.public_key(), b"message", b"")


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="needs ssh-keygen")
def test_the_fingerprint_is_the_one_ssh_keygen_prints(tmp_path: Path) -> None:
    key = ecdsa.new_private_key()
    line = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    (tmp_path / "key.pub").write_bytes(line + b"\n")

    printed = subprocess.run(
        ["ssh-keygen", "-l", "-f", tmp_path / "key.pub"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert printed.split()[1] == ecdsa.fingerprint(key.public_key())
