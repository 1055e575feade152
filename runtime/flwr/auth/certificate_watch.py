"""A server's certificate files, which may be replaced while it serves."""

import logging
import threading
from typing import Final

from flwr.auth.certificates import days_left, load_server_tls, whole_days_left
from flwr.auth.tls import ServerTls, TlsFiles
from flwr.core.clock import Clock

logger = logging.getLogger(__name__)

_WARN_AT_DAYS: Final = 30


class CertificateWatch:
    """Notices that files were replaced; thread-safe."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._lock = threading.Lock()
        self._seen: tuple[int, ...] = ()

    def load(self) -> ServerTls:
        """Read and check the files; warns when they expire soon.

        Raises:
            InvalidError: a file is missing, malformed, expired, or does not fit.
        """
        with self._lock:
            self._seen = self._stamps()
            now = self._clock.now()
            tls = load_server_tls(self._files, now=now)
        if days_left(tls.certificate, now=now) < _WARN_AT_DAYS:
            logger.warning(
                "Certificate expires soon",
                extra={
                    "event": "certificate-expires",
                    "file": str(self._files.certificate),
                    "days": whole_days_left(tls.certificate, now=now),
                },
            )
        return tls

    def renewed(self) -> ServerTls | None:
        """Return the files' content if it was replaced since the last look, else None.

        Raises:
            InvalidError: the replacement cannot be used; told once per replacement.  A pair of
                which only one half is replaced yet looks like that too.
        """
        return None if self._stamps() == self._seen else self.load()

    def _stamps(self) -> tuple[int, ...]:
        paths = (self._files.certificate, self._files.key)
        try:
            return tuple(n for p in paths for n in (p.stat().st_mtime_ns, p.stat().st_ino))
        except OSError:
            return self._seen  # in the middle of being replaced
