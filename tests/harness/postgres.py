"""A PostgreSQL server of our own, from the system's programs, gone with the test that uses it."""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psycopg

from tests.harness.ports import free_port
from tests.harness.program import eventually

_PLACES: Final = ("/usr/lib/postgresql", "/usr/pgsql", "/usr/local/pgsql", "/opt/homebrew/opt")
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # no test here cuts the power
    "shared_buffers": "16MB",
    "max_connections": "60",
    "autovacuum": "off",
}
USER: Final = "flwr"


def find_programs() -> Path | None:
    """Return the directory of ``initdb`` and ``postgres``, the newest release's; None: nowhere."""
    if found := shutil.which("initdb"):
        return Path(found).parent
    folders = [folder for place in _PLACES for folder in Path(place).glob("*/bin")]
    usable = [folder for folder in folders if (folder / "initdb").exists()]
    return max(usable, key=lambda folder: folder.parent.name.zfill(4), default=None)


def why_no_postgres() -> str | None:
    """Return why there is no server to be had on this machine, None when there is one."""
    if find_programs() is None:
        return "needs PostgreSQL's initdb and postgres (Debian: apt-get install postgresql)"
    return None


class PostgresServer:
    """A context manager: a server on a free port of loopback, with a database and a password."""

    def __init__(self) -> None:
        programs = find_programs()
        assert programs is not None, "ask why_no_postgres() first"
        self._programs = programs
        self._user = _unprivileged()
        self._directory = Path(tempfile.mkdtemp(prefix="flwr-postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.password = secrets.token_hex(8)

    @property
    def url(self) -> str:
        """Where its database is, password included."""
        return self.url_of()

    def url_of(
        self, *, database: str = "postgres", user: str = USER, password: str | None = None
    ) -> str:
        """Return a URL of another database, user or password."""
        word = self.password if password is None else password
        return f"postgresql+psycopg://{user}:{word}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        password = self._directory / "password"
        password.write_text(self.password)
        if self._user is not None:
            for path in (self._directory, password):
                os.chown(path, self._user, self._user)
        self._run(
            *("initdb", "--pgdata", str(self._data), "--username", USER, "--no-sync"),
            *("--auth", "scram-sha-256", "--pwfile", str(password)),
            *("--encoding", "UTF8", "--no-locale"),
        )
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._directory, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = [part for item in _SETTINGS.items() for part in ("-c", "=".join(item))]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(str(self._programs / "postgres"), "-D", str(self._data)),
                    *("-p", str(self.port), *settings),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._directory,
            )
        eventually(self._answers, timeout=60, otherwise=(self._directory / "log").read_text)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT ends sessions in order, SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
        self._process = None

    @property
    def _data(self) -> Path:
        return self._directory / "data"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url.replace("+psycopg", ""), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *args: str) -> None:
        subprocess.run(
            [str(self._programs / program), *args],
            check=True,
            capture_output=True,
            user=self._user,
            cwd=self._directory,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
        )


def _unprivileged() -> int | None:
    """Return whom the server runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return 65_534
