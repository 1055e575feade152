#!/usr/bin/env python3
"""Make the password of the overlay ``postgres``: one file for the database, one for the SuperLink.

Written once and then kept, because the database takes its password only at its first start.  Each
container mounts its own folder: ``postgres/`` holds the password, ``superlink-database/`` the URL.
"""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
READER: Final = 10001  # user and group of the containers
URL: Final = "postgresql+psycopg://flwr:{password}@postgres:5432/flwr"


def write_secret(path: Path, text: str) -> None:
    """Write a file that its owner and the containers can read, and nobody else."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), 0, READER)
            os.fchmod(file.fileno(), 0o640)
    unfinished.replace(path)


def make_secret(folder: Path) -> list[Path]:
    """Write what is missing below ``folder``; return the files that were written."""
    password_file, url_file = (
        folder / "postgres" / "password",
        folder / "superlink-database" / "url",
    )
    written: list[Path] = []
    if not password_file.exists():
        write_secret(password_file, secrets.token_urlsafe(32))
        written.append(password_file)
    url = URL.format(password=password_file.read_text("utf-8").strip())
    if not url_file.exists() or url_file.read_text("utf-8") != url:
        write_secret(url_file, url)
        written.append(url_file)
    return written


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=ROOT / ".state" / "certs",
        metavar="DIR",
        help="the folder FLWR_CERTS names (default: .state/certs)",
    )
    args = parser.parse_args(argv)
    try:
        written = make_secret(args.out)
    except OSError as error:
        sys.stderr.write(
            f"database_secret.py: error: {error.filename}: {error.strerror}\n"
            "  what to do: run this as the folder's owner (sudo)\n"
        )
        return 3
    for path in written:
        sys.stdout.write(f"wrote {path}\n")
    if not written:
        sys.stdout.write(f"nothing to do: {args.out} has the password\n")
    if os.geteuid() not in {0, READER}:
        sys.stdout.write(
            f"Containers run as uid {READER}: let them read it with\n"
            f"  sudo chown -R 0:{READER} {args.out}/postgres {args.out}/superlink-database\n"
            f"  sudo chmod -R g+rX {args.out}/postgres {args.out}/superlink-database\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
