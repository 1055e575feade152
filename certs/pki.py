#!/usr/bin/env python3
"""Make what a federation trusts: a CA, a server certificate, node keys and their list.

Idempotent: files that exist are kept unless ``--force``.  Private keys are written 0600 and never
leave the folder.  TLS keys are P-256; node keys are P-384, as the wire contract asks, in OpenSSH
format.  Run ``python certs/pki.py --help``.
"""

import argparse
import ipaddress
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS: Final = 3650
SERVER_DAYS: Final = 397  # the longest that current TLS clients accept
BACKDATED: Final = timedelta(minutes=5)  # forgives clocks that differ a little


def make_pki(out: Path, *, sans: list[str], nodes: int, force: bool = False) -> list[Path]:
    """Create whatever is missing below ``out``; return the files that were written.

    Args:
        out: folder for ``ca.crt``, ``ca.key``, ``server.crt``, ``server.key``, ``node-N.key``,
            ``node-N.pub`` and ``node-keys.pub`` (the list the SuperLink reads).
        sans: host names and addresses the server certificate is valid for.
        nodes: how many node key pairs there shall be.
        force: make everything anew.
    """
    out.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    ca_key, ca = _authority(out, written, force=force)
    _server(out, written, ca_key, ca, sans, force=force or bool(written))
    for number in range(1, nodes + 1):
        _node_key(out, written, number, force=force)
    keys = sorted(out.glob("node-*.pub"), key=lambda p: (len(p.name), p.name))
    listing = "".join(p.read_text() for p in keys if p.name != "node-keys.pub")
    target = out / "node-keys.pub"
    if listing and (not target.exists() or target.read_text() != listing):
        _write(target, listing.encode(), 0o644, written)
    return written


def _authority(
    out: Path, written: list[Path], *, force: bool
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key_file, crt_file = out / "ca.key", out / "ca.crt"
    if key_file.exists() and crt_file.exists() and not force:
        key = ser.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key, x509.load_pem_x509_certificate(crt_file.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flwr-compose CA")])
    builder = (
        _certificate(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    _write(key_file, _pem(key), 0o600, written)
    _write(crt_file, certificate.public_bytes(ser.Encoding.PEM), 0o644, written)
    return key, certificate


def _server(
    out: Path,
    written: list[Path],
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    sans: list[str],
    *,
    force: bool,
) -> None:
    key_file, crt_file = out / "server.key", out / "server.crt"
    if key_file.exists() and crt_file.exists() and not force:
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, sans[0])])
    builder = (
        _certificate(name, ca.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_san(s) for s in sans]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
    )
    certificate = builder.sign(ca_key, hashes.SHA256())
    _write(key_file, _pem(key), 0o600, written)
    _write(crt_file, certificate.public_bytes(ser.Encoding.PEM), 0o644, written)


def _node_key(out: Path, written: list[Path], number: int, *, force: bool) -> None:
    private, public = out / f"node-{number}.key", out / f"node-{number}.pub"
    if private.exists() and public.exists() and not force:
        return
    key = ec.generate_private_key(ec.SECP384R1())
    _write(
        private,
        key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption()),
        0o600,
        written,
    )
    line = key.public_key().public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH)
    _write(public, line + f" node-{number}\n".encode(), 0o644, written)


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _san(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())


def _write(path: Path, content: bytes, mode: int, written: list[Path]) -> None:
    """Write so that the file never exists with wider rights or half its content."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    temporary.replace(path)
    written.append(path)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path(".state/certs"), help="folder to fill")
    parser.add_argument(
        "--san",
        action="append",
        help="host name or address of the server (repeatable; localhost is always in)",
    )
    parser.add_argument("--nodes", type=int, default=2, help="node key pairs (default: 2)")
    parser.add_argument("--force", action="store_true", help="make everything anew")
    args = parser.parse_args()
    sans = list(dict.fromkeys([*(args.san or []), "localhost", "127.0.0.1", "::1"]))
    written = make_pki(args.out, sans=sans, nodes=args.nodes, force=args.force)
    for path in written:
        sys.stdout.write(f"wrote {path}\n")
    if not written:
        sys.stdout.write(f"nothing to do: {args.out} is complete (--force makes it anew)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
