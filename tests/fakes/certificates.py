"""A certification authority for tests: P-256, made in memory, no files unless asked."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flwr.auth.tls import ClientTls, ServerTls, TlsFiles


class Authority:
    """Issues server certificates; ``client_tls`` trusts exactly this authority."""

    def __init__(self, name: str = "Test CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        self._certificate = (
            x509.CertificateBuilder()
            .subject_name(self._name)
            .issuer_name(self._name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def pem(self) -> bytes:
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def client_tls(self) -> ClientTls:
        return ClientTls(self.pem)

    def issue(
        self,
        *hosts: str,
        since: timedelta = timedelta(days=-1),
        until: timedelta = timedelta(days=1),
        now: datetime | None = None,
    ) -> ServerTls:
        """Make a certificate for ``hosts`` valid from ``now + since`` to ``now + until``."""
        instant = now or datetime.now(UTC)
        key = ec.generate_private_key(ec.SECP256R1())
        names = [_general_name(host) for host in hosts or ("localhost", "127.0.0.1")]
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "server")]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(instant + since)
            .not_valid_after(instant + until)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return ServerTls(
            certificate=certificate.public_bytes(serialization.Encoding.PEM),
            key=key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
            ca=self.pem,
        )


def write_files(tls: ServerTls, folder: Path) -> TlsFiles:
    """Write certificate, key and CA."""
    certificate, key, ca = folder / "server.pem", folder / "server.key", folder / "ca.pem"
    certificate.write_bytes(tls.certificate)
    key.write_bytes(tls.key)
    ca.write_bytes(tls.ca or b"")
    return TlsFiles(certificate=certificate, key=key, ca=ca)


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
