"""How a daemon's AppIo port and the SuperExec on the other side trust each other.

What nobody gave is made, for our own SuperExec on this machine, and kept beside the daemon's state:
apps that outlive the daemon trust it still when it is back.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from flwr.auth.certificate_watch import CertificateWatch
from flwr.auth.certificates import covers, days_left, load_server_tls, self_signed
from flwr.auth.superexec_auth import SuperExecVerifier, load_secret
from flwr.auth.tls import ServerTls, TlsFiles
from flwr.core.clock import Clock
from flwr.core.errors import InvalidError
from flwr.shell.daemon_settings import AppIoConfig
from flwr.shell.private_files import write_private
from flwr.wire.channel import split_address

logger = logging.getLogger(__name__)

# Nobody renews it while the daemon runs, so the shortest life it may begin with is long.
_OWN_VALID_FOR: Final = timedelta(days=3650)
_OWN_RENEWED_AT_DAYS: Final = 1825
_SECRET_BYTES: Final = 32
_ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - left out; nothing is bound here


@dataclass(frozen=True, slots=True, kw_only=True)
class AppIoSecurity:
    """What guards the port, and what our own SuperExec needs to pass."""

    tls: ServerTls | None  # None: clear text
    renewed_tls: Callable[[], ServerTls | None] | None
    root_certificates: Path | None
    secret: Path | None
    verifier: SuperExecVerifier | None


def appio_security(config: AppIoConfig, run_dir: Path, clock: Clock) -> AppIoSecurity:
    """Load or make what guards the port; what is made is kept in ``run_dir``.

    Raises:
        InvalidError: a file cannot be used.
    """
    secret = config.superexec_secret
    if secret is None and config.starts_superexec:
        secret = own_secret(run_dir)
    tls, renewed, root = None, None, None
    if config.tls is not None:
        watch = CertificateWatch(config.tls, clock)
        tls, renewed, root = watch.load(), watch.renewed, config.tls.ca
    elif not config.is_insecure:
        host, _ = split_address(config.address)
        tls, root = own_certificate(run_dir, host, now=clock.now())
    if secret is None:
        logger.warning(
            "Open launches: whoever reaches the AppIo port may start apps and read their bundles; "
            "give --superexec-auth-secret-file FILE to admit the holder of the secret only",
            extra={"event": "open-launches", "address": config.address},
        )
    return AppIoSecurity(
        tls=tls,
        renewed_tls=renewed,
        root_certificates=root,
        secret=secret,
        verifier=None if secret is None else SuperExecVerifier(load_secret(secret)),
    )


def check_appio(config: AppIoConfig, clock: Clock) -> None:
    """Read every file the configuration of the port names.

    Raises:
        InvalidError: one is missing, malformed, or does not fit the others.
    """
    if config.tls is not None:
        CertificateWatch(config.tls, clock).load()
    if config.superexec_secret is not None:
        load_secret(config.superexec_secret)


def own_certificate(run_dir: Path, host: str, *, now: datetime) -> tuple[ServerTls, Path]:
    """Return a certificate for the link to our own SuperExec, and the file it is trusted by.

    An existing one is kept while it is fresh and names ``host``.
    """
    certificate, key = run_dir / "appio.crt", run_dir / "appio.key"
    names = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
    hosts = [name for name in names if name not in _ANY_HOST]
    kept = _load_kept(TlsFiles(certificate=certificate, key=key, ca=certificate), hosts, now)
    if kept is not None:
        return kept, certificate
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


def _load_kept(files: TlsFiles, hosts: Sequence[str], now: datetime) -> ServerTls | None:
    try:
        kept = load_server_tls(files, now=now)
    except InvalidError:
        return None
    is_fresh = days_left(kept.certificate, now=now) > _OWN_RENEWED_AT_DAYS
    return kept if is_fresh and covers(kept.certificate, hosts) else None
