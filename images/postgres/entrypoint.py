#!/usr/bin/env python3
"""Start PostgreSQL for one database: made at the first start, its password set at every one.

Variables, named as in the public image of PostgreSQL: POSTGRES_USER (postgres), POSTGRES_DB (as the
user), POSTGRES_PASSWORD_FILE (/run/secrets/password), PGDATA. TLS is always on: with server.crt and
server.key beside the password, else with a certificate made here. Arguments go to the server.

It never starts without a password, and never writes to a folder that holds something else.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NoReturn

SOCKETS: Final = "/tmp"  # noqa: S108  a private tmpfs of the container
ACCESS: Final = Path("/opt/flwr/postgres/pg_hba.conf")
_IDENTIFIER: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_CERTIFICATE_DAYS: Final = 3650  # nobody renews it; clients that check names give their own
_FAILED: Final = re.compile(r"^.*(?:ERROR|FATAL|PANIC): +(.*)$", re.MULTILINE)


class StartError(Exception):
    """The database cannot be started; ``remedy`` says what to do."""

    def __init__(self, cause: str, remedy: str) -> None:
        super().__init__(cause)
        self.remedy = remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment asks for."""

    user: str
    database: str
    password: str
    data: Path
    secrets: Path


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Read and check the environment.

    Raises:
        StartError: a value is missing or cannot be used.
    """
    user = environment.get("POSTGRES_USER") or "postgres"
    database = environment.get("POSTGRES_DB") or user
    for variable, name in (("POSTGRES_USER", user), ("POSTGRES_DB", database)):
        if not _IDENTIFIER.fullmatch(name):
            raise StartError(
                f"{variable} is {name!r}", "use lower-case letters, digits and '_', at most 63"
            )
    file = Path(environment.get("POSTGRES_PASSWORD_FILE") or "/run/secrets/password")
    try:
        password = environment.get("POSTGRES_PASSWORD") or file.read_text("utf-8").strip()
    except OSError as cause:
        raise StartError(
            f"no password: {file}: {cause.strerror}",
            "mount a folder with it, readable by uid 10001: make database-secret",
        ) from cause
    if not password or not password.isprintable():
        raise StartError(
            f"the password in {file} is empty or not one line", "write one: make database-secret"
        )
    data = Path(environment.get("PGDATA") or "/var/lib/postgresql/data/state")
    return Settings(user=user, database=database, password=password, data=data, secrets=file.parent)


def initialise(settings: Settings) -> None:
    """Make the database unless it is there; an interrupted start leaves nothing half made.

    Raises:
        StartError: the folder cannot be used.
    """
    data = settings.data
    if (data / "PG_VERSION").exists():
        return
    if data.exists() and any(path.name != "lost+found" for path in data.iterdir()):
        raise StartError(f"{data} holds something else", "give an empty volume, or set PGDATA")
    # A mount point cannot be renamed; initdb then works in place.
    unfinished = data if data.is_mount() else data.with_name(f"{data.name}.unfinished")
    try:
        if unfinished != data:
            shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as cause:
        raise StartError(
            f"cannot write to {unfinished.parent}: {cause.strerror}",
            "a bind mount must belong to uid 10001: sudo chown 10001:10001 FOLDER",
        ) from cause
    command = ["initdb", f"--pgdata={unfinished}", f"--username={settings.user}", "--no-sync"]
    command += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
    command += ["--builtin-locale=C.UTF-8", "--data-checksums", "--auth=scram-sha-256"]
    _run([*command, "--pwfile=/dev/stdin"], settings.password + "\n")
    if settings.database != "postgres":
        statement = f'CREATE DATABASE "{settings.database}" OWNER "{settings.user}";'
        single_user(unfinished, statement)
    subprocess.run(["initdb", f"--pgdata={unfinished}", "--sync-only"], check=True)
    if unfinished != data:
        if data.exists():
            data.rmdir()
        unfinished.rename(data)


def set_password(settings: Settings) -> None:
    """Make the password of the user what the file says now.

    Raises:
        StartError: the server refuses.
    """
    quoted = settings.password.replace("'", "''")
    single_user(settings.data, f"ALTER ROLE \"{settings.user}\" PASSWORD '{quoted}';")


def single_user(data: Path, statement: str) -> None:
    """Execute a statement without starting a server.

    Raises:
        StartError: it failed.
    """
    command = ["postgres", "--single", "-D", str(data), "-c", "log_min_error_statement=panic"]
    done = _run([*command, "template1"], f"{statement}\n")
    if failed := _FAILED.search(done):
        raise StartError(f"PostgreSQL says: {failed.group(1)}", "see its manual, or its log above")


def tls_files(settings: Settings, now: datetime) -> tuple[Path, Path]:
    """Return certificate and key: given ones, else those made here at the first start."""
    given = settings.secrets / "server.crt", settings.secrets / "server.key"
    if all(path.exists() for path in given):
        return given
    certificate, key = settings.data / "self-made.crt", settings.data / "self-made.key"
    if not (certificate.exists() and key.exists()):
        made = make_certificate("postgres", now)
        for path, content in zip((certificate, key), made, strict=True):
            path.unlink(missing_ok=True)
            with os.fdopen(
                os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(content)
    return certificate, key


def make_certificate(name: str, now: datetime) -> tuple[bytes, bytes]:
    """Return a self-signed certificate for ``name``, and its key, both PEM."""
    from cryptography import x509  # noqa: PLC0415  once in the life of a database
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415  as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  as above

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=_CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def server_command(settings: Settings, certificate: Path, key: Path) -> list[str]:
    """Return the command of the server, without the caller's own arguments."""
    options = {
        "listen_addresses": "*",
        "unix_socket_directories": SOCKETS,
        "hba_file": str(ACCESS),
        "ssl": "on",
        "ssl_cert_file": str(certificate),
        "ssl_key_file": str(key),
        "jit": "off",  # its compiler is not in the image
        "logging_collector": "off",
        "log_timezone": "UTC",
        "timezone": "UTC",
    }
    command = ["postgres", "-D", str(settings.data)]
    for name, value in options.items():
        command += ["-c", f"{name}={value}"]
    return command


def _run(command: Sequence[str], text: str) -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        raise StartError(f"{command[0]} failed", "see its words above")
    return done.stdout + done.stderr


def main(argv: Sequence[str]) -> NoReturn:
    """Become the server, or end with the reason why not."""
    if argv and argv[0] in {"-h", "--help"}:
        print(f"usage: entrypoint.py [SERVER ARGUMENT]...\n\n{__doc__}")
        sys.exit(0)
    try:
        settings = read_settings(os.environ)
        initialise(settings)
        set_password(settings)
        certificate, key = tls_files(settings, datetime.now(UTC))
    except StartError as error:
        sys.stderr.write(f"postgres: error: {error}\n  what to do: {error.remedy}\n")
        sys.exit(2)
    for name in ("POSTGRES_PASSWORD", "POSTGRES_PASSWORD_FILE"):
        os.environ.pop(name, None)
    command = [*server_command(settings, certificate, key), *argv]
    os.execvp(command[0], command)  # noqa: S606  no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
