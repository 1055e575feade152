"""What a node keeps on disk beside its database: its key, and what its own SuperExec is given.

Every file here is written whole or not at all, and readable for its owner only.
"""

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from flwr.auth.node_keys import NodeKey, load_node_key, new_node_key
from flwr.auth.tls import ServerTls, load_server_tls, self_signed
from flwr.core.clock import Clock
from flwr.core.errors import ErrorKind, FlwrError, InvalidError
from flwr.crypto.ecdsa import private_pem
from flwr.supernode.config import SuperNodeConfig
from flwr.wire.channel import split_address

_SECRET_BYTES: Final = 32
_OWN_VALID_FOR: Final = timedelta(days=3650)  # ephemeral: made anew at every start


class StateDirError(InvalidError):
    """The state directory cannot be used."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the directory and the remedy."""
        super().__init__(
            f"cannot use state directory {path}: {why}",
            hint="make --state-dir writable for the user this program runs as",
        )


class StateDirInUseError(FlwrError):
    """Another SuperNode works with the same directory."""

    kind = ErrorKind.FAILED_PRECONDITION

    def __init__(self, path: Path) -> None:
        """Name the directory."""
        super().__init__(
            f"another SuperNode uses the state directory {path}",
            hint="give every SuperNode a directory of its own, or wait until the other has ended",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class AppIoSecurity:
    """How the ClientAppIo port is guarded, and what our own SuperExec needs to pass."""

    tls: ServerTls | None  # None: clear text
    root_certificates: Path | None
    secret: Path | None


@contextmanager
def state_directory(given: Path | None) -> Iterator[Path]:
    """Yield the directory of the node's state, for this process alone.

    Without a given one it is temporary and gone at the end.

    Raises:
        StateDirError: it cannot be written.
        StateDirInUseError: another process has it.
    """
    if given is None:
        with tempfile.TemporaryDirectory(prefix="flwr-supernode-") as made:
            yield Path(made)
        return
    try:
        given.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock = os.open(given / "supernode.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as cause:
        raise StateDirError(given, cause.strerror or str(cause)) from cause
    try:
        _lock_alone(lock, given)
        yield given
    finally:
        os.close(lock)


def own_key(state_dir: Path) -> NodeKey:
    """Return the key of a node that was given none; made at its first start.

    Raises:
        KeyFileError: the kept key is damaged.
        StateDirError: it cannot be written.
    """
    path = state_dir / "node.key"
    if not path.exists():
        _write_private(path, private_pem(new_node_key().private))
    return load_node_key(path)


def appio_security(config: SuperNodeConfig, state_dir: Path, clock: Clock) -> AppIoSecurity:
    """Load or make what guards the ClientAppIo port.

    Raises:
        InvalidError: a file cannot be used.
    """
    run_dir, secret = state_dir / "run", config.superexec_secret
    if config.starts_superexec and secret is None:
        secret = run_dir / "superexec.secret"
        _write_private(secret, secrets.token_hex(_SECRET_BYTES).encode())
    if config.appio_is_insecure:
        return AppIoSecurity(tls=None, root_certificates=None, secret=secret)
    if (files := config.appio_tls) is not None:
        tls = load_server_tls(files.certificate, files.key, files.ca, now=clock.now())
        return AppIoSecurity(tls=tls, root_certificates=files.ca, secret=secret)
    host, _ = split_address(config.clientappio_address)
    hosts = dict.fromkeys(("localhost", "127.0.0.1", "::1", host))
    tls = self_signed(
        [h for h in hosts if h not in _ANY_HOST], valid_for=_OWN_VALID_FOR, now=clock.now()
    )
    trusted = run_dir / "appio.crt"
    _write_private(trusted, tls.certificate)
    return AppIoSecurity(tls=tls, root_certificates=trusted, secret=secret)


_ANY_HOST: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - left out; nothing is bound here


def _lock_alone(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as cause:
        raise StateDirInUseError(directory) from cause


def _write_private(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as cause:
        raise StateDirError(path.parent, cause.strerror or str(cause)) from cause
