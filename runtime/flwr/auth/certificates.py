"""Certificates of servers and trust of clients: read, check, make for one machine.

Checking happens before a port opens, so that a wrong file is one clear sentence at the start and
not a failed handshake at the first caller.
"""

import ipaddress
import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flwr.auth.tls import (
    ClientTls,
    ServerTls,
    TlsCertificateExpiredError,
    TlsCertificateNotYetValidError,
    TlsFileNotPemError,
    TlsFiles,
    TlsKeyMismatchError,
    read_tls_file,
)

_CLOCK_SLACK: Final = timedelta(minutes=5)  # machines of one site differ by this much
_SECONDS_A_DAY: Final = 86_400.0


def load_server_tls(files: TlsFiles, *, now: datetime) -> ServerTls:
    """Read and check a server's files.

    Raises:
        TlsFileMissingError: a file is not there.
        TlsFileUnreadableError: the system refuses to read one.
        TlsFileNotPemError: one holds something else.
        TlsKeyMismatchError: key and certificate do not belong together.
        TlsCertificateExpiredError: the certificate is no longer valid.
        TlsCertificateNotYetValidError: the certificate is not valid yet.
    """
    certificate, key, ca = files.certificate, files.key, files.ca
    certificate_pem = read_tls_file(certificate, "certificate")
    chain = _parse_certificates(certificate, "certificate", certificate_pem)
    key_pem = read_tls_file(key, "private key")
    private = _parse_key(key, key_pem)
    if private != _spki(chain[0].public_key()):
        raise TlsKeyMismatchError(certificate, key)
    _check_time(certificate, chain[0], now)
    ca_pem = None if ca is None else read_tls_file(ca, "CA certificate")
    if ca is not None and ca_pem is not None:
        _parse_certificates(ca, "CA certificate", ca_pem)
    return ServerTls(certificate=certificate_pem, key=key_pem, ca=ca_pem)


def load_client_tls(root_certificates: Path | None, *, now: datetime) -> ClientTls:
    """Read and check the certificates a client trusts; None: the public authorities.

    Raises:
        TlsFileMissingError: the file is not there.
        TlsFileUnreadableError: the system refuses to read it.
        TlsFileNotPemError: it holds something else.
        TlsCertificateExpiredError: every certificate in it is no longer valid.
        TlsCertificateNotYetValidError: none in it is valid yet.
    """
    if root_certificates is None:
        return ClientTls()
    pem = read_tls_file(root_certificates, "root certificate")
    roots = _parse_certificates(root_certificates, "root certificate", pem)
    if not any(r.not_valid_before_utc <= now <= r.not_valid_after_utc for r in roots):
        _check_time(root_certificates, roots[0], now)
    return ClientTls(pem)


def days_left(certificate: bytes, *, now: datetime) -> float:
    """Return days until the first certificate in the PEM expires; negative afterwards."""
    first = x509.load_pem_x509_certificates(certificate)[0]
    return (first.not_valid_after_utc - now).total_seconds() / _SECONDS_A_DAY


def whole_days_left(certificate: bytes, *, now: datetime) -> int:
    """Return ``days_left`` rounded down, as people are told."""
    return math.floor(days_left(certificate, now=now))


def covers(certificate: bytes, hosts: Iterable[str]) -> bool:
    """Tell whether the first certificate in the PEM names every one of ``hosts``."""
    first = x509.load_pem_x509_certificates(certificate)[0]
    try:
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return all(_general_name(host) in names for host in hosts)


def self_signed(hosts: Iterable[str], *, valid_for: timedelta, now: datetime) -> ServerTls:
    """Make a certificate that is its own authority, for links inside one machine.

    Args:
        hosts: DNS names and IP addresses callers use; the first one names the certificate.
        valid_for: how long from ``now``.
        now: the present instant.

    Returns:
        A P-256 pair; ``ca`` is the certificate itself, for the callers' trust.
    """
    names = list(hosts)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + valid_for)
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return ServerTls(
        certificate=pem,
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
        ca=pem,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _parse_certificates(path: Path, what: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as cause:
        raise TlsFileNotPemError(path, what) from cause


def _parse_key(path: Path, pem: bytes) -> bytes:
    """Return the public half in DER form, which is comparable."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise TlsFileNotPemError(path, "private key") from cause
    return _spki(key.public_key())


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(
        serialization.Encoding.DER,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )


def _check_time(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    if now > certificate.not_valid_after_utc:
        raise TlsCertificateExpiredError(path, certificate.not_valid_after_utc)
    if now < certificate.not_valid_before_utc:
        raise TlsCertificateNotYetValidError(path, certificate.not_valid_before_utc)
