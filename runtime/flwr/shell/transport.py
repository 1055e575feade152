"""How a program reaches an AppIo port: security is chosen, never a default by omission."""

from pathlib import Path

from flwr.shell.settings import ConfigError


def require_transport(root_certificates: str | None, *, insecure: bool) -> Path | None:
    """Return the file with the certificate authority, None for clear text.

    Raises:
        ConfigError: neither or both were chosen: security is never a default by omission.
    """
    if insecure and root_certificates is not None:
        raise ConfigError(
            "both --insecure and --root-certificates are given", hint="keep one of them"
        )
    if not insecure and root_certificates is None:
        raise ConfigError(
            "the AppIo connection is neither secured nor declared insecure",
            hint="pass --root-certificates FILE, or --insecure for clear text",
        )
    return Path(root_certificates) if root_certificates is not None else None
