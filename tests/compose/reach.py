"""What answers at TCP addresses from here: a script, so that any container can run it.

``python3 -I -c "$(cat reach.py)" reach '[["superlink", 9092], ["203.0.113.80", 443]]'`` prints one
JSON list with a word per address; ``identify`` instead of ``reach`` names the certificate that is
shown.  It imports nothing but the standard library.
"""

import errno
import hashlib
import json
import socket
import ssl
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

PATIENCE_S = 2.0
HANDSHAKE_S = 15.0  # somebody is there, with half a processor and others to answer
OPEN, REFUSED, SILENT = "open", "refused", "silent"
NO_ROUTE, NO_NAME = "no route", "no name"
NO_CERTIFICATE = "no certificate"
_WORDS = {
    errno.ECONNREFUSED: REFUSED,
    errno.ENETUNREACH: NO_ROUTE,
    errno.EHOSTUNREACH: NO_ROUTE,
}


def reach(host: str, port: int) -> str:
    """Return what a caller of this address meets."""
    return _call(host, port, lambda _: OPEN)


def identify(host: str, port: int) -> str:
    """Return the SHA-256 of the certificate that is shown at this address, or why there is none.

    Some networks let a proxy answer for every address outside: ``reach`` finds those open.
    """
    return _call(host, port, lambda plain: _certificate(plain, host))


def _call(host: str, port: int, then: Callable[[socket.socket], str]) -> str:
    try:
        with socket.create_connection((host, port), PATIENCE_S) as connection:
            return then(connection)
    except TimeoutError:
        return SILENT
    except socket.gaierror:
        return NO_NAME
    except OSError as error:
        return _WORDS.get(error.errno or 0, str(error))


def _certificate(plain: socket.socket, host: str) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    plain.settimeout(HANDSHAKE_S)
    try:
        with context.wrap_socket(plain, server_hostname=host) as encrypted:
            shown = encrypted.getpeercert(binary_form=True)
    except OSError:
        return NO_CERTIFICATE
    return hashlib.sha256(shown).hexdigest() if shown else NO_CERTIFICATE


def ask_all(addresses: list[tuple[str, int]], ask: Callable[[str, int], str] = reach) -> list[str]:
    """Return the answer of every address, asked at the same time."""
    with ThreadPoolExecutor(max_workers=64) as threads:
        return list(threads.map(lambda address: ask(*address), addresses))


if __name__ == "__main__":
    questions = {"reach": reach, "identify": identify}
    asked = [(host, port) for host, port in json.loads(sys.argv[2])]
    json.dump(ask_all(asked, questions[sys.argv[1]]), sys.stdout)
