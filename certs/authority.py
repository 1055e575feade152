"""X.509: authorities, what they issue, and what can be read from a certificate.

P-256 throughout.  An authority signs end certificates only (path length 0); what it issues is good
for showing as a server and for nothing else.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from certs.errors import PkiError
from certs.layout import PairFiles

# We make elliptic-curve keys; RSA is read, for authorities of other people.
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

AUTHORITY_LIFE: Final = timedelta(days=3650)
SERVER_LIFE: Final = timedelta(days=397)  # the longest that TLS clients accept
_BACKDATED: Final = timedelta(minutes=5)  # forgives clocks that differ a little
_MAX_COMMON_NAME: Final = 64  # X.520


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    issuers: tuple[x509.Certificate, ...] = ()  # between it and an authority

    @property
    def chain(self) -> list[x509.Certificate]:
        """The certificate, then its issuers'."""
        return [self.certificate, *self.issuers]

    @property
    def certificate_pem(self) -> bytes:
        """The public half, as written to disk."""
        return self.certificate.public_bytes(ser.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The private half, as written to disk."""
        return self.key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())

    @property
    def is_matching(self) -> bool:
        """Whether the two belong together."""
        return self.certificate.public_key() == self.key.public_key()


def new_authority(name: str, *, now: datetime) -> Pair:
    """Make an authority that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(name)
    begin = now - _BACKDATED
    builder = (
        _certificate(subject, subject, key.public_key(), key.public_key())
        .not_valid_before(begin)
        .not_valid_after(begin + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def issue(
    authority: Pair, name: str, hosts: Sequence[str], *, life: timedelta, now: datetime
) -> Pair:
    """Make a server certificate that ends with its authority at the latest.

    Args:
        authority: who signs.
        name: the subject's common name, for people to read.
        hosts: DNS names and IP addresses; what clients compare.
        life: validity counted from its (slightly backdated) beginning.
        now: the present instant.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    begin, signer = now - _BACKDATED, authority.certificate
    builder = (
        _certificate(_subject(name), signer.subject, key.public_key(), authority.key.public_key())
        .not_valid_before(begin)
        .not_valid_after(min(begin + life, signer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([_general_name(h) for h in hosts]), critical=False
        )
    )
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def find_pair(files: PairFiles) -> Pair | None:
    """Read a pair; None when a half is missing or empty, as an interrupted run leaves it.

    Raises:
        PkiError: a file holds something else.
    """
    if not all(p.exists() and p.stat().st_size for p in (files.certificate, files.key)):
        return None
    certificate, *issuers = load_certificates(files.certificate)
    return Pair(certificate, load_key(files.key), tuple(issuers))


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Read the certificates of a PEM file.

    Raises:
        PkiError: there is none.
    """
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except ValueError as cause:
        raise PkiError(
            f"{path} is no PEM certificate",
            "move it away and run this again, or put the right file there "
            "(-----BEGIN CERTIFICATE-----)",
        ) from cause


def load_key(path: Path) -> PrivateKey:
    """Read a certificate's private key.

    Raises:
        PkiError: it is none, encrypted, or of a kind that servers do not use.
    """
    try:
        key = ser.load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise PkiError(
            f"{path} is no private key without passphrase",
            "move it away and run this again, or put the right file there",
        ) from cause
    if not isinstance(key, PrivateKey):
        raise PkiError(
            f"{path} is a {type(key).__name__}; elliptic-curve and RSA keys work",
            "move it and its certificate away and run this again",
        )
    return key


def is_issued_by(
    chain: Sequence[x509.Certificate], authorities: Sequence[x509.Certificate]
) -> bool:
    """Tell whether a certificate, by way of those that follow it, leads to an authority.

    Args:
        chain: the certificate, then its issuers' up to one that an authority signed.
        authorities: whom clients trust.
    """
    for certificate, issuer in zip_longest(chain, chain[1:]):
        if any(_signed(certificate, authority) for authority in authorities):
            return True
        if issuer is None or not is_authority(issuer) or not _signed(certificate, issuer):
            return False
    return False


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether the certificate may sign others."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def hosts_of(certificate: x509.Certificate) -> list[str]:
    """Return the host names and addresses a certificate is valid for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(n.value) for n in names if isinstance(n, x509.DNSName | x509.IPAddress)]


def fingerprint(certificate: x509.Certificate) -> str:
    """Return ``AB:CD:...``, the SHA-256 that ``openssl x509 -fingerprint -sha256`` prints."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def days_left(certificate: x509.Certificate, *, now: datetime) -> int:
    """Return whole days until the certificate expires; negative afterwards."""
    return (certificate.not_valid_after_utc - now) // timedelta(days=1)


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:_MAX_COMMON_NAME])])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
