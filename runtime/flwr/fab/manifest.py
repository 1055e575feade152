"""The app's manifest: what ``pyproject.toml`` must say, read from untrusted bytes.

Bounded in size and nesting before anything walks it.  All problems are reported at once.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_PYPROJECT_BYTES
from flwr.core.origin import Origin, OriginInvalidError
from flwr.core.run_config import Config, flatten
from flwr.fab.entry import EntryReference, parse_entry
from flwr.fab.errors import AppEntryError, FabTooLargeError, ManifestError
from flwr.fab.format_version import check_format_version

MAX_NESTING: Final = 32  # tables in tables; the deepest real manifests use 6
# tomllib needs quadratic time for one very long dotted key: such a key is refused before parsing.
# Possessive and anchored at a key's start, hence linear itself.
_KEY_PART: Final = r"""(?>[\w\-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY: Final = re.compile(
    rf"(?<![\w\-]){_KEY_PART}(?>[ \t]*+\.[ \t]*+{_KEY_PART}){{{MAX_NESTING}}}",
)
_STRICT_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9])?", re.ASCII)
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,127}", re.ASCII)
ORIGIN_TABLE: Final = ("tool", "flwr-compose", "origin")
_ORIGIN_KEYS: Final = ("commit", "url", "subdirectory")

Document = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppManifest:
    """What the runtime needs to know of an app."""

    name: str
    version: str
    publisher: str
    serverapp: EntryReference
    clientapp: EntryReference
    config: Config = field(default_factory=dict)  # flat, dotted keys
    include: tuple[str, ...] = ()  # gitignore patterns; empty: everything
    exclude: tuple[str, ...] = ()
    format_version: int = 0
    origin: Origin | None = None  # written by the builder; never the author's
    wants_fresh_start: bool = False  # an interpreter of its own for every message
    warnings: tuple[str, ...] = ()

    @property
    def fab_id(self) -> str:
        """Publisher and name, as runs show them."""
        return f"{self.publisher}/{self.name}"


def parse_document(content: bytes) -> Document:
    """Read the bytes of a ``pyproject.toml`` as TOML, bounded.

    Raises:
        FabTooLargeError: more than ``MAX_PYPROJECT_BYTES``.
        ManifestError: it is no TOML, or nested deeper than ``MAX_NESTING``.
    """
    if len(content) > MAX_PYPROJECT_BYTES:
        raise FabTooLargeError(
            f"pyproject.toml has {len(content)} bytes, the limit is {MAX_PYPROJECT_BYTES}",
        )
    try:
        text = content.decode()
        if _LONG_KEY.search(text):
            raise ManifestError([f"a key is nested deeper than {MAX_NESTING}"])
        document = tomllib.loads(text)
    except RecursionError as cause:
        raise ManifestError([f"it is nested deeper than {MAX_NESTING}"]) from cause
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise ManifestError([f"it is no valid TOML: {cause}"]) from cause
    _check_nesting(document)
    return document


def read_manifest(content: bytes) -> AppManifest:
    """Read and check the bytes of a ``pyproject.toml``.

    Raises:
        FabTooLargeError: it is too large.
        ManifestError: listing each problem.
    """
    return check_document(parse_document(content))


def check_document(document: Mapping[str, Any]) -> AppManifest:
    """Check a parsed ``pyproject.toml``.

    Raises:
        ManifestError: listing each problem.
    """
    reader = _Reader(document)
    project = reader.section("project")
    app = reader.section("tool.flwr.app")
    components = reader.section("tool.flwr.app.components")
    name = reader.text(project, "project", "name", _NAME)
    manifest = AppManifest(
        name=name,
        version=reader.text(project, "project", "version", _VERSION),
        publisher=reader.text(app, "tool.flwr.app", "publisher", _NAME),
        serverapp=reader.entry(components, "serverapp"),
        clientapp=reader.entry(components, "clientapp"),
        config=reader.config(app),
        include=reader.patterns(app, "fab-include"),
        exclude=reader.patterns(app, "fab-exclude"),
        format_version=reader.format_version(project, app),
        origin=reader.origin(),
        wants_fresh_start=reader.choice(app, "app-start", ("warm", "fresh")) == "fresh",
        warnings=_warnings(project, name),
    )
    if reader.problems:
        raise ManifestError(reader.problems)
    return manifest


def _check_nesting(document: Document) -> None:
    pending: list[tuple[Any, int]] = [(document, 0)]
    while pending:
        value, depth = pending.pop()
        if depth > MAX_NESTING:
            raise ManifestError([f"it is nested deeper than {MAX_NESTING}"])
        if isinstance(value, dict):
            pending.extend((child, depth + 1) for child in value.values())
        elif isinstance(value, list):
            pending.extend((child, depth + 1) for child in value)


def _warnings(project: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = [
        f'property "{key}" missing in [project]'
        for key in ("description", "license")
        if key not in project
    ]
    if name and not _STRICT_NAME.fullmatch(name):
        found.append(
            f'project name "{name}": other Flower runtimes want a letter, then letters, digits '
            "and hyphens, 32 characters at most",
        )
    return tuple(found)


class _Reader:
    """Takes values out of the document and collects what is wrong instead of stopping."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self.problems: list[str] = []

    def section(self, path: str) -> Mapping[str, Any]:
        table: Any = self._document
        for part in path.split("."):
            table = table.get(part) if isinstance(table, Mapping) else None
        if isinstance(table, Mapping):
            return table
        self.problems.append(
            f"section [{path}] missing" if table is None else f"[{path}] is not a table",
        )
        return {}

    def text(self, table: Mapping[str, Any], section: str, key: str, form: re.Pattern[str]) -> str:
        value = self._string(table, section, key)
        if value and not form.fullmatch(value):
            self.problems.append(f'property "{key}" in [{section}]: {value[:80]!r} is not allowed')
        return value

    def entry(self, components: Mapping[str, Any], key: str) -> EntryReference:
        value = self._string(components, "tool.flwr.app.components", key)
        try:
            return parse_entry(value) if value else EntryReference("", "")
        except AppEntryError as problem:
            self.problems.append(
                f'property "{key}" in [tool.flwr.app.components]: {problem.message}'
            )
            return EntryReference("", "")

    def config(self, app: Mapping[str, Any]) -> Config:
        table = app.get("config", {})
        if not isinstance(table, Mapping):
            self.problems.append("[tool.flwr.app.config] is not a table")
            return {}
        return self._attempt(lambda: flatten(table), {}, "[tool.flwr.app.config]")

    def patterns(self, app: Mapping[str, Any], key: str) -> tuple[str, ...]:
        if key not in app:
            return ()
        value = app[key]
        texts = isinstance(value, list) and all(isinstance(p, str) and p.strip() for p in value)
        if not texts or not value:
            self.problems.append(
                f'property "{key}" in [tool.flwr.app] must be a list of patterns, not empty',
            )
            return ()
        return tuple(value)

    def choice(self, app: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
        """Return one of the known words; the first when nothing is said."""
        value = app.get(key, known[0])
        if value in known:
            return str(value)
        words = " or ".join(f'"{word}"' for word in known)
        self.problems.append(f'property "{key}" in [tool.flwr.app] must be {words}')
        return known[0]

    def format_version(self, project: Mapping[str, Any], app: Mapping[str, Any]) -> int:
        version, problems = check_format_version(project, app)
        self.problems.extend(problems)
        return version

    def origin(self) -> Origin | None:
        table: Any = self._document
        for part in ORIGIN_TABLE:
            table = table.get(part) if isinstance(table, Mapping) else None
        if table is None:
            return None
        where = f"[{'.'.join(ORIGIN_TABLE)}]"
        if not isinstance(table, Mapping) or not all(
            key in _ORIGIN_KEYS and isinstance(value, str) for key, value in table.items()
        ):
            self.problems.append(f"{where} may hold these texts: {', '.join(_ORIGIN_KEYS)}")
            return None
        try:
            return Origin(**{"commit": "", **table})
        except OriginInvalidError as problem:
            self.problems.append(f"{where}: {problem.message}")
            return None

    def _string(self, table: Mapping[str, Any], section: str, key: str) -> str:
        value = table.get(key)
        if isinstance(value, str) and value:
            return value
        self.problems.append(
            f'property "{key}" missing in [{section}]'
            if value in {None, ""}
            else f'property "{key}" in [{section}] must be a string',
        )
        return ""

    def _attempt(self, read: Callable[[], Config], default: Config, where: str) -> Config:
        try:
            return read()
        except InvalidError as problem:
            self.problems.append(f"{where}: {problem.message}")
            return default
