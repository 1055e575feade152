"""Certificates of the SuperLink's ports: load, watch for renewal, make for its own SuperExec."""

import logging
import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from flwr.auth.tls import ServerTls, days_left, load_server_tls, self_signed, whole_days_left
from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, InvalidError
from flwr.superlink.config import TlsFiles

logger = logging.getLogger(__name__)

_OWN_VALID_FOR: Final = timedelta(days=365)
_OWN_RENEWED_AT_DAYS: Final = 30
_WARN_AT_DAYS: Final = 30
_SECRET_BYTES: Final = 32


class CertificateWatch:
    """Files that may be replaced while we serve; a bad replacement keeps what there is."""

    def __init__(self, files: TlsFiles, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._seen = self._stamps()

    def load(self) -> ServerTls:
        """Read and check the files; warns when they expire soon.

        Raises:
            InvalidError: a file is missing, malformed, expired, or does not fit.
        """
        files, now = self._files, self._clock.now()
        tls = load_server_tls(files.certificate, files.key, files.ca, now=now)
        if days_left(tls.certificate, now=now) < _WARN_AT_DAYS:
            logger.warning(
                "Certificate expires soon",
                extra={
                    "event": "certificate-expires",
                    "file": str(files.certificate),
                    "days": whole_days_left(tls.certificate, now=now),
                },
            )
        return tls

    def renewed(self) -> ServerTls | None:
        """Return the files' content if it was replaced, None if it was not or cannot be used."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        try:
            tls = self.load()
        except FlwrError as error:
            # Asked at every handshake, and the files may be half-way through their replacement.
            logger.warning(
                "Renewed certificate refused",
                extra={"event": "certificate-refused", "cause": error.message},
            )
            return None
        self._seen = stamps
        logger.info("Certificate renewed", extra={"event": "certificate-renewed"})
        return tls

    def _stamps(self) -> tuple[int, ...]:
        return tuple(_stamp(path) for path in (self._files.certificate, self._files.key))


def own_certificate(run_dir: Path, host: str, *, now: datetime) -> tuple[ServerTls, Path]:
    """Return a certificate for the link to our own SuperExec, and the file it is trusted by.

    An existing one is kept: ServerApps that outlived the last SuperLink trust it.
    """
    certificate, key = run_dir / "appio.crt", run_dir / "appio.key"
    kept = _load_kept(certificate, key, now)
    if kept is not None:
        return kept, certificate
    hosts = dict.fromkeys(["localhost", "127.0.0.1", "::1", host])
    hosts.pop("0.0.0.0", None)  # noqa: S104 - a name to leave out, nothing is bound here
    hosts.pop("::", None)
    made = self_signed(hosts, valid_for=_OWN_VALID_FOR, now=now)
    write_private(key, made.key)
    write_private(certificate, made.certificate)
    return made, certificate


def own_secret(run_dir: Path) -> Path:
    """Return the file with the secret our own SuperExec proves itself by; made at first use."""
    path = run_dir / "superexec.secret"
    if not path.exists() or path.stat().st_size == 0:
        write_private(path, secrets.token_hex(_SECRET_BYTES).encode())
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write a file only we may read; complete or not at all.

    Raises:
        InvalidError: the directory cannot be written.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError as cause:
        raise InvalidError(
            f"cannot write {path}: {cause.strerror}",
            hint="make --state-dir writable for the user this program runs as",
        ) from cause


def _load_kept(certificate: Path, key: Path, now: datetime) -> ServerTls | None:
    try:
        kept = load_server_tls(certificate, key, certificate, now=now)
    except InvalidError:
        return None
    return kept if days_left(kept.certificate, now=now) > _OWN_RENEWED_AT_DAYS else None


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
