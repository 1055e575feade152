"""Which SuperLink a command talks to.

Order: the flags of the command, the project's ``[tool.flwr.federations]``, the user's
``config.toml``.  Files are read, never rewritten.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from flwr.control.simulation_options import read_options
from flwr.core.errors import InvalidError, NotFoundError
from flwr.core.simulation import SimulationConfig

LOCAL: Final = frozenset({":local:", ":local-in-memory:"})
_T = TypeVar("_T")
_LOCAL_ADDRESS: Final = ":local:"
_DEFAULT: Final = "default"
_KEYS: Final = frozenset({"address", "insecure", "root-certificates", "federation", "options"})
_MAX_PORT: Final = 65_535
CONFIG_FILE: Final = "config.toml"  # the user's connections, below FLWR_HOME
DEFAULT_CONFIG: Final = """\
# SuperLinks that `flwr` knows by name.  Keys of an entry: address, insecure, root-certificates
# (absolute path), federation, options.num-supernodes (for ":local:").

[superlink]
default = "local"

[superlink.local]
address = ":local:"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How to reach one SuperLink."""

    name: str
    address: str  # host:port, or one of LOCAL
    insecure: bool = False
    root_certificates: Path | None = None  # None with TLS: the system's roots
    federation: str = ""
    options: SimulationConfig | None = None
    source: str  # where it was found, for a person
    warnings: tuple[str, ...] = ()

    @property
    def is_local(self) -> bool:
        """True when the CLI starts the SuperLink itself."""
        return self.address in LOCAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the user said about the SuperLink on the command line."""

    name: str | None = None
    address: str | None = None
    root_certificates: Path | None = None
    insecure: bool = False


class ConnectionConfigError(InvalidError):
    """A connection is described wrongly, in a file or by flags."""


class ConnectionNotFoundError(NotFoundError):
    """No connection has the wanted name."""

    def __init__(self, name: str, known: Mapping[str, str]) -> None:
        """List the names that exist, each with its place."""
        listed = ", ".join(f"{each} ({where})" for each, where in known.items()) or "none"
        super().__init__(
            f"there is no SuperLink connection {name!r}; known connections: {listed}",
            hint="use one of these names, or give the address: --superlink HOST:PORT",
        )


@dataclass(frozen=True, slots=True)
class ConnectionFile:
    """The connections of one file."""

    source: str
    default: str | None
    entries: Mapping[str, Any]
    folder: Path | None  # relative certificate paths start here; None: they must be absolute


def resolve(
    target: Target, *, config_file: Path, app_dir: Path, fetched_dir: Path | None = None
) -> Connection:
    """Return the connection a command means.

    Args:
        target: what the user said.
        config_file: the user's connections.
        app_dir: the project whose connections come before them.
        fetched_dir: a project that was fetched from elsewhere.  Its connections come last and only
            by name: who wrote it does not decide where the user's submissions go.

    Raises:
        ConnectionConfigError: flags or files contradict themselves.
        ConnectionNotFoundError: the name is unknown, or none is given and there is no default.
    """
    if target.address is not None:
        return _from_flags(target, target.address)
    if target.insecure or target.root_certificates:
        raise ConnectionConfigError(
            "--insecure and --root-certificates describe the address given with --superlink",
            hint="add --superlink HOST:PORT",
        )
    files = [*read_project(app_dir), read_config(config_file), *_read_fetched(fetched_dir)]
    name = target.name or next((f.default for f in files if f.default), None)
    if name is None:
        raise ConnectionNotFoundError("default", known_names(files))
    for file in files:
        if name in file.entries:
            return _from_entry(name, file.entries[name], file)
    raise ConnectionNotFoundError(name, known_names(files))


def known_names(files: list[ConnectionFile]) -> dict[str, str]:
    """Return every name with the file that decides it."""
    names: dict[str, str] = {}
    for file in files:
        for name in file.entries:
            names.setdefault(name, file.source)
    return names


def read_config(path: Path) -> ConnectionFile:
    """Read the user's connections; a missing file means the built-in ones.

    Raises:
        ConnectionConfigError: the file is no TOML or has another form.
    """
    text = path.read_text() if path.is_file() else DEFAULT_CONFIG
    section = _parse(text, str(path)).get("superlink", {})
    return _as_file(section, str(path), "[superlink]", folder=None)


def read_project(app_dir: Path) -> Iterator[ConnectionFile]:
    """Yield the connections of the project in ``app_dir``, if it has any.

    Raises:
        ConnectionConfigError: the file is no TOML or has another form.
    """
    path = app_dir / "pyproject.toml"
    document: Any = _parse(path.read_text(), str(path)) if path.is_file() else {}
    for key in ("tool", "flwr", "federations"):
        document = document.get(key, {}) if isinstance(document, Mapping) else {}
    if document:
        yield _as_file(document, str(path), "[tool.flwr.federations]", folder=app_dir)


def _read_fetched(folder: Path | None) -> Iterator[ConnectionFile]:
    for file in read_project(folder) if folder is not None else ():
        yield replace(file, source="the fetched app", default=None)


def _from_flags(target: Target, address: str) -> Connection:
    if target.name is not None:
        raise ConnectionConfigError(
            f"both the connection {target.name!r} and --superlink {address} are given",
            hint="give one of them",
        )
    connection = Connection(
        name=address,
        address=address,
        insecure=target.insecure,
        root_certificates=target.root_certificates.absolute() if target.root_certificates else None,
        source="command line",
    )
    return _checked(connection)


def _from_entry(name: str, entry: Any, file: ConnectionFile) -> Connection:
    if not isinstance(entry, Mapping):
        raise ConnectionConfigError(f"{file.source}: connection {name!r} is not a table")
    value = _Values(name, entry, file.source)
    options = read_options(value.table("options"), where=value.where("options"))
    address = value.text("address") or (_LOCAL_ADDRESS if options else "")
    if not address:
        raise ConnectionConfigError(f"{value.where('address')} is missing")
    connection = Connection(
        name=name,
        address=address,
        insecure=value.flag("insecure"),
        root_certificates=_certificates(value, file.folder),
        federation=value.text("federation"),
        options=options,
        source=file.source,
        warnings=tuple(
            f"{value.where(key)} is unknown and ignored" for key in entry.keys() - _KEYS
        ),
    )
    return _checked(connection)


def _certificates(value: "_Values", folder: Path | None) -> Path | None:
    text = value.text("root-certificates")
    if not text:
        return None
    path = Path(text).expanduser()
    if folder is not None:
        return (folder / path).absolute()
    if not path.is_absolute():
        raise ConnectionConfigError(f"{value.where('root-certificates')} must be an absolute path")
    return path


def _checked(connection: Connection) -> Connection:
    if connection.is_local:
        return replace(connection, insecure=True, root_certificates=None)
    host, _, port = connection.address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise ConnectionConfigError(
            f"the address {connection.address!r} ({connection.source}) is not HOST:PORT",
        )
    if connection.insecure and connection.root_certificates:
        raise ConnectionConfigError(
            f"connection {connection.name!r}: root certificates make no sense with insecure",
            hint="remove one of the two; with certificates the connection uses TLS",
        )
    if connection.root_certificates and not connection.root_certificates.is_file():
        raise ConnectionConfigError(
            f"connection {connection.name!r}: there is no file {connection.root_certificates}",
            hint="copy the CA certificate of the SuperLink (ca.crt) there",
        )
    return connection


def _as_file(section: Any, source: str, where: str, *, folder: Path | None) -> ConnectionFile:
    if not isinstance(section, Mapping):
        raise ConnectionConfigError(f"{source}: {where} is not a table")
    default = section.get(_DEFAULT)
    if default is not None and not isinstance(default, str):
        raise ConnectionConfigError(f"{source}: default in {where} must be a name")
    entries = {name: entry for name, entry in section.items() if name != _DEFAULT}
    return ConnectionFile(source, default, entries, folder)


def _parse(text: str, source: str) -> Mapping[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as cause:
        raise ConnectionConfigError(f"{source} is no valid TOML: {cause}") from cause


class _Values:
    """Typed look-ups in one connection's table."""

    def __init__(self, name: str, entry: Mapping[str, Any], source: str) -> None:
        self._name, self._entry, self._source = name, entry, source

    def where(self, key: str) -> str:
        return f"{self._source}: {key} of connection {self._name!r}"

    def text(self, key: str) -> str:
        return self._typed(key, str, "", "a string")

    def flag(self, key: str) -> bool:
        return self._typed(key, bool, False, "true or false")

    def table(self, key: str) -> Mapping[str, Any]:
        return self._typed(key, dict, {}, "a table")

    def _typed(self, key: str, kind: type[_T], default: _T, wanted: str) -> _T:
        value = self._entry.get(key, default)
        if not isinstance(value, kind):
            raise ConnectionConfigError(f"{self.where(key)} must be {wanted}, got {value!r}")
        return value
