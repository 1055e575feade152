"""What TLS needs in memory, and the files it comes from: types, typed failures, plain reading.

Loads no cryptography: an app's runner starts often and only has to know whom it trusts.  Whoever
opens a port or answers for the files uses ``auth.certificates``, which checks them.
"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from flwr.core.errors import InvalidError

_PEM_CERTIFICATE: Final = b"-----BEGIN CERTIFICATE-----"


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """Paths of a server's certificate, key and, where known, authority."""

    certificate: Path
    key: Path
    ca: Path | None = None


def read_root_certificates(path: Path) -> ClientTls:
    """Return the trust that a file holds, looked at but not checked.

    Raises:
        TlsFileMissingError: the file is not there.
        TlsFileUnreadableError: the system refuses to read it.
        TlsFileNotPemError: it holds no certificate.
    """
    pem = read_tls_file(path, "root certificate")
    if _PEM_CERTIFICATE not in pem:
        raise TlsFileNotPemError(path, "root certificate")
    return ClientTls(pem)


def read_tls_file(path: Path, what: str) -> bytes:
    """Return the content of a file; ``what`` names its purpose in the errors.

    Raises:
        TlsFileMissingError: the file is not there.
        TlsFileUnreadableError: the system refuses to read it.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as cause:
        raise TlsFileMissingError(path, what) from cause
    except OSError as cause:
        raise TlsFileUnreadableError(path, what, cause.strerror or str(cause)) from cause
