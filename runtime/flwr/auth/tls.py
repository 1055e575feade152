"""Certificates of servers and trust of clients: read, check, make for one machine.

Checking happens before a port opens, so that a wrong file is one clear sentence at the start and
not a failed handshake at the first caller.
"""

import ipaddress
import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flwr.core.clock import Clock
from flwr.core.errors import InvalidError

_CLOCK_SLACK: Final = timedelta(minutes=5)  # machines of one site differ by this much
_SECONDS_A_DAY: Final = 86_400.0


class TlsFileMissingError(InvalidError):
    """A named file does not exist."""

    def __init__(self, path: Path, what: str) -> None:
        """Name the file and its purpose."""
        super().__init__(f"{what} {path} does not exist", hint="check the path and the volume")


class TlsFileUnreadableError(InvalidError):
    """A named file exists and cannot be read."""

    def __init__(self, path: Path, what: str, why: str) -> None:
        """Name the file, its purpose and the system's reason."""
        super().__init__(
            f"{what} {path} cannot be read: {why}",
            hint="make it readable for the user this program runs as",
        )


class TlsFileNotPemError(InvalidError):
    """A file holds no PEM of the wanted kind."""

    def __init__(self, path: Path, what: str) -> None:
        """Name the file and what belongs there."""
        super().__init__(
            f"{what} {path} is not PEM of that kind",
            hint="certificates start with -----BEGIN CERTIFICATE-----, keys are not encrypted",
        )


class TlsKeyMismatchError(InvalidError):
    """The private key does not belong to the certificate."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Name both files."""
        super().__init__(
            f"private key {key} does not match certificate {certificate}",
            hint="give the key the certificate was issued for, and the server's own certificate "
            "before its issuers'",
        )


class TlsCertificateExpiredError(InvalidError):
    """The certificate's time is over."""

    def __init__(self, path: Path, until: datetime) -> None:
        """Name the file and the last valid instant."""
        super().__init__(
            f"certificate {path} expired on {until.isoformat()}",
            hint="issue a new one; if it is valid, this machine's clock is wrong",
        )
        self.until = until


class TlsCertificateNotYetValidError(InvalidError):
    """The certificate's time has not come."""

    def __init__(self, path: Path, since: datetime) -> None:
        """Name the file and the first valid instant."""
        super().__init__(
            f"certificate {path} is not valid before {since.isoformat()}",
            hint="wait until then; if it is valid, this machine's clock is wrong",
        )
        self.since = since


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What a server shows, all PEM; ``None`` in its place means clear text."""

    certificate: bytes  # the server's own, then its issuers'
    key: bytes = field(repr=False)
    ca: bytes | None = None  # what clients of this server trust, when it is known here


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client trusts; ``None`` in its place means clear text."""

    root_certificates: bytes | None = None  # PEM; None: gRPC's own list of public authorities


def load_server_tls(
    certificate: Path,
    key: Path,
    ca: Path | None = None,
    *,
    now: datetime,
) -> ServerTls:
    """Read and check a server's files.

    Raises:
        TlsFileMissingError: a file is not there.
        TlsFileUnreadableError: the system refuses to read one.
        TlsFileNotPemError: one holds something else.
        TlsKeyMismatchError: key and certificate do not belong together.
        TlsCertificateExpiredError: the certificate is no longer valid.
        TlsCertificateNotYetValidError: the certificate is not valid yet.
    """
    certificate_pem = _read(certificate, "certificate")
    chain = _parse_certificates(certificate, "certificate", certificate_pem)
    key_pem = _read(key, "private key")
    private = _parse_key(key, key_pem)
    if private != _spki(chain[0].public_key()):
        raise TlsKeyMismatchError(certificate, key)
    _check_time(certificate, chain[0], now)
    ca_pem = None if ca is None else _read(ca, "CA certificate")
    if ca is not None and ca_pem is not None:
        _parse_certificates(ca, "CA certificate", ca_pem)
    return ServerTls(certificate=certificate_pem, key=key_pem, ca=ca_pem)


class ServerTlsFiles:
    """A server's files, watched for replacement; thread-safe."""

    def __init__(self, certificate: Path, key: Path, ca: Path | None, *, clock: Clock) -> None:
        self._certificate, self._key, self._ca = certificate, key, ca
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()

    def load(self) -> ServerTls:
        """Read and check the files; raises as ``load_server_tls`` does."""
        with self._lock:
            self._seen = self._stamps()
            return load_server_tls(self._certificate, self._key, self._ca, now=self._clock.now())

    def renewed(self) -> ServerTls | None:
        """Return the files' content if it was replaced since the last look, else None.

        Raises:
            FlwrError: the replacement cannot be used, as ``load_server_tls`` says; told once per
                replacement.  A pair of which only one half is replaced yet looks like that too.
        """
        if self._stamps() == self._seen:
            return None
        return self.load()

    def _stamps(self) -> tuple[int, ...]:
        paths = (self._certificate, self._key)
        try:
            return tuple(n for p in paths for n in (p.stat().st_mtime_ns, p.stat().st_ino))
        except OSError:
            return self._seen  # in the middle of being replaced


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
    pem = _read(root_certificates, "root certificate")
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


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as cause:
        raise TlsFileMissingError(path, what) from cause
    except OSError as cause:
        raise TlsFileUnreadableError(path, what, cause.strerror or str(cause)) from cause


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
