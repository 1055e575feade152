"""Which TCP addresses can be reached from here: a script, so that any container can run it.

``python3 -I -c "$(cat reach.py)" '[["superlink", 9092], ["203.0.113.80", 443]]'`` prints one JSON
list with a word per address.  It imports nothing but the standard library.
"""

import errno
import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

PATIENCE_S = 2.0
OPEN, REFUSED, SILENT = "open", "refused", "silent"
NO_ROUTE, NO_NAME = "no route", "no name"
_WORDS = {
    errno.ECONNREFUSED: REFUSED,
    errno.ENETUNREACH: NO_ROUTE,
    errno.EHOSTUNREACH: NO_ROUTE,
}


def reach(host: str, port: int) -> str:
    """Return what a caller of this address meets."""
    try:
        with socket.create_connection((host, port), PATIENCE_S):
            return OPEN
    except TimeoutError:
        return SILENT
    except socket.gaierror:
        return NO_NAME
    except OSError as error:
        return _WORDS.get(error.errno or 0, str(error))


def reach_all(addresses: list[tuple[str, int]]) -> list[str]:
    """Return the answer of every address, asked at the same time."""
    with ThreadPoolExecutor(max_workers=64) as threads:
        return list(threads.map(lambda address: reach(*address), addresses))


if __name__ == "__main__":
    json.dump(reach_all([(host, port) for host, port in json.loads(sys.argv[1])]), sys.stdout)
