"""Why a server cannot be reached: one connection made only to explain a failure to a person.

gRPC folds every such failure into UNAVAILABLE with a text for its own developers.  Here the steps
are walked one by one (name, connection, handshake or greeting), each with its own error.
"""

import socket
import ssl
import threading
from typing import Final

from flwr.auth.tls import ClientTls
from flwr.core.clock import SystemClock
from flwr.core.errors import FlwrError, UnavailableError
from flwr.core.limits import TLS_DIAGNOSIS
from flwr.wire.channel import client_address, split_address

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
_FRAME_HEAD: Final = 9  # length (3), type (1), flags (1), stream (4)
_SETTINGS: Final = 0x04
_MARGIN_S: Final = 0.5  # for a look that has met its own limit to say so
_GREETING_WAIT: Final = 1.0  # seconds for a server's first frame; a gRPC server sends it at once

# X509_V_ERR_* of OpenSSL.
_NOT_YET_VALID: Final = frozenset({9})
_EXPIRED: Final = frozenset({10})
_WRONG_HOST: Final = frozenset({62, 63, 64})


class UnreachableError(UnavailableError):
    """Nobody answered; trying again may help."""


class UnresolvableHostError(UnreachableError):
    """The name has no address."""

    def __init__(self, address: str, why: str) -> None:
        """Name the address and the resolver's answer."""
        super().__init__(
            f"cannot reach {address}: the host name does not resolve ({why})",
            hint="check the host in the address, or the name service of this machine or network",
        )


class ConnectionRefusedByPeerError(UnreachableError):
    """The host answers, nothing listens on the port."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"cannot reach {address}: connection refused",
            hint="check that the server runs and the port in the address is the right one",
        )


class NoAnswerError(UnreachableError):
    """No connection came about."""

    def __init__(self, address: str, why: str) -> None:
        """Name the address and the system's reason."""
        super().__init__(
            f"cannot reach {address}: {why}",
            hint="check the address, the route and firewalls between here and there",
        )


class HandshakeTimeoutError(UnreachableError):
    """A connection came about, then nothing."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"cannot reach {address}: connected, but no handshake came",
            hint="check that the port belongs to this server and that it is not overloaded",
        )


class NotServingError(UnreachableError):
    """The connection is fine; the server itself does not take the call now."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"the server at {address} accepts connections but does not take calls now",
            hint="try again; if it stays so, read the server's log",
        )


class TlsMismatchError(UnavailableError):
    """The two sides disagree about TLS; trying again is useless until somebody changes a file."""


class WrongCaError(TlsMismatchError):
    """The server's certificate was not issued by a trusted authority."""

    def __init__(self, address: str, why: str) -> None:
        """Name the address and OpenSSL's reason."""
        super().__init__(
            f"the certificate of {address} was not issued by the given authority ({why})",
            hint="give the CA certificate of that server with --root-certificates",
        )


class WrongHostNameError(TlsMismatchError):
    """The server's certificate names other hosts."""

    def __init__(self, address: str, host: str) -> None:
        """Name the address and the host that is missing in the certificate."""
        super().__init__(
            f"the certificate of {address} is not for host {host!r}",
            hint="use a name of the certificate in the address, or reissue it with this name",
        )


class CertificateExpiredError(TlsMismatchError):
    """The server's certificate, or one above it, is no longer valid."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"the certificate of {address} has expired",
            hint="renew the server's --ssl-certfile; if it is valid, this machine's clock is wrong",
        )


class CertificateNotYetValidError(TlsMismatchError):
    """The server's certificate, or one above it, is not valid yet."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"the certificate of {address} is not valid yet",
            hint="check this machine's clock, or reissue the server's --ssl-certfile",
        )


class ServerWantsTlsError(TlsMismatchError):
    """We speak clear text, the server TLS."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"the server at {address} speaks TLS, this side was told --insecure",
            hint="drop --insecure and give the server's CA with --root-certificates",
        )


class ServerSpeaksClearTextError(TlsMismatchError):
    """We speak TLS, the server clear text."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"the server at {address} speaks clear text, this side expects TLS",
            hint="give --insecure here if that is wanted, or start the server with its "
            "--ssl-certfile and --ssl-keyfile",
        )


class UntrustedHandshakeError(TlsMismatchError):
    """The handshake failed for a reason of its own."""

    def __init__(self, address: str, why: str) -> None:
        """Name the address and OpenSSL's reason."""
        super().__init__(
            f"TLS handshake with {address} failed: {why}",
            hint="compare --root-certificates here with the server's --ssl-certfile",
        )


def explain(address: str, tls: ClientTls | None) -> FlwrError:
    """Connect once to ``address`` and return why calls to it fail; blocks for 5 s at most.

    Args:
        address: as it was given to the channel.
        tls: as it was given to the channel; None: clear text.
    """
    host, port = split_address(client_address(address))
    found: list[FlwrError] = []

    def look() -> None:
        found.append(_Visit(address, host, port).explain(tls))

    # The system's resolver knows no deadline, hence a thread that may be left behind.
    visitor = threading.Thread(target=look, name="diagnose", daemon=True)
    visitor.start()
    visitor.join(TLS_DIAGNOSIS.total_seconds() + _MARGIN_S)
    return found[0] if found else UnresolvableHostError(address, "no answer in time")


class _Visit:
    """One look at a server."""

    def __init__(self, address: str, host: str, port: int) -> None:
        self._address, self._host, self._port = address, host, port
        self._clock = SystemClock()  # a person waits: real time is what counts
        self._until = self._clock.monotonic() + TLS_DIAGNOSIS.total_seconds()

    def explain(self, tls: ClientTls | None) -> FlwrError:
        try:
            return self._explain_clear_text() if tls is None else self._explain_tls(tls)
        except socket.gaierror as cause:
            return UnresolvableHostError(self._address, cause.strerror or str(cause))
        except ConnectionRefusedError:
            return ConnectionRefusedByPeerError(self._address)
        except TimeoutError:
            return NoAnswerError(self._address, "no answer")
        except OSError as cause:
            return NoAnswerError(self._address, cause.strerror or str(cause))

    def _explain_tls(self, tls: ClientTls) -> FlwrError:
        with self._connect() as plain:
            try:
                context = _trusting(tls)
                with context.wrap_socket(plain, server_hostname=self._host):
                    return NotServingError(self._address)
            except ssl.SSLCertVerificationError as cause:
                return self._explain_certificate(cause)
            except (ssl.SSLError, OSError) as cause:
                failure = cause
        if self._greets_in_clear():
            return ServerSpeaksClearTextError(self._address)
        if isinstance(failure, ssl.SSLError) and failure.reason:
            return UntrustedHandshakeError(self._address, failure.reason.lower().replace("_", " "))
        return HandshakeTimeoutError(self._address)

    def _explain_certificate(self, cause: ssl.SSLCertVerificationError) -> FlwrError:
        if cause.verify_code in _EXPIRED:
            return CertificateExpiredError(self._address)
        if cause.verify_code in _NOT_YET_VALID:
            return CertificateNotYetValidError(self._address)
        if cause.verify_code in _WRONG_HOST:
            return WrongHostNameError(self._address, self._host)
        return WrongCaError(self._address, cause.verify_message)

    def _explain_clear_text(self) -> FlwrError:
        if self._greets_in_clear():
            return NotServingError(self._address)
        with self._connect() as plain:
            try:
                with _trusting_anybody().wrap_socket(plain, server_hostname=self._host):
                    return ServerWantsTlsError(self._address)
            except (ssl.SSLError, OSError):
                return HandshakeTimeoutError(self._address)

    def _greets_in_clear(self) -> bool:
        """Tell whether the server answers HTTP/2 in clear text with its settings."""
        with self._connect() as plain:
            plain.settimeout(min(_GREETING_WAIT, self._left()))
            try:
                plain.sendall(_PREFACE)
                head = b""
                while len(head) < _FRAME_HEAD:
                    if not (more := plain.recv(_FRAME_HEAD - len(head))):
                        return False
                    head += more
            except OSError:
                return False
        return head[3] == _SETTINGS and head[5:] == bytes(4)

    def _connect(self) -> socket.socket:
        return socket.create_connection((self._host, self._port), timeout=self._left())

    def _left(self) -> float:
        return max(self._until - self._clock.monotonic(), 0.05)


def _trusting(tls: ClientTls) -> ssl.SSLContext:
    pem = tls.root_certificates
    context = ssl.create_default_context(cadata=None if pem is None else pem.decode("ascii"))
    # As gRPC does: an intermediate may be the root, and old authorities are not judged by form.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_TRUSTED_FIRST
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["h2"])
    return context


def _trusting_anybody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
