"""What an app's pyproject.toml asks of its images: packages of Python and of Debian."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from scripts.debian import SetupError

TABLE: Final = "tool.flwr-compose.image"
PROVIDED: Final = frozenset({"flwr", "flwr-compose"})  # by the image itself
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_DEBIAN: Final = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_VERSION: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_KEYS: Final = frozenset({"debian-packages"})


class ManifestError(SetupError):
    """The pyproject.toml of the app cannot be used; ``remedy`` says what to write."""


@dataclass(frozen=True, slots=True)
class AppManifest:
    """One app, as far as its images are concerned."""

    publisher: str
    name: str
    version: str
    requirements: tuple[str, ...]
    debian_packages: tuple[str, ...]

    @property
    def full_name(self) -> str:
        """Its name as runs and ``--only-apps`` know it."""
        return f"{self.publisher}/{self.name}"


def read(app: Path) -> AppManifest:
    """Read the pyproject.toml in the folder of an app.

    Raises:
        ManifestError: it is missing, is no TOML, or says something an image cannot be made of.
    """
    file = app / "pyproject.toml"
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as cause:
        raise ManifestError(
            f"{file}: {cause.strerror}", "name the folder of an app: make app-image APP=FOLDER"
        ) from cause
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        raise ManifestError(f"{file} is not TOML: {cause}", "correct that line") from cause
    return parse(document, str(file))


def parse(document: Mapping[str, Any], file: str) -> AppManifest:
    """Read a parsed pyproject.toml; ``file`` names it in errors.

    Raises:
        ManifestError: it says something an image cannot be made of.
    """
    project = _table(document, "project", file)
    image = _table(document, TABLE, file, default={})
    if unknown := sorted(set(image) - _KEYS):
        raise ManifestError(
            f"{file}: [{TABLE}] has no key {', '.join(unknown)}", "it has: debian-packages"
        )
    if "dependencies" in project.get("dynamic", []):
        raise ManifestError(
            f"{file}: the dependencies are dynamic", "list them: dependencies = [...] in [project]"
        )
    requirements = _strings(project, "dependencies", f"{file}: [project]")
    return AppManifest(
        publisher=str(_table(document, "tool.flwr.app", file, default={}).get("publisher", "")),
        name=_text(project, "name", _NAME, file),
        version=_text(project, "version", _VERSION, file),
        requirements=tuple(line for line in requirements if _names(line, file) not in PROVIDED),
        debian_packages=_debian(_strings(image, "debian-packages", f"{file}: [{TABLE}]"), file),
    )


def extended(
    app: AppManifest, requirements: Sequence[str], debian_packages: Sequence[str]
) -> AppManifest:
    """Return the manifest with further packages, as if they were in the pyproject.toml.

    Raises:
        ManifestError: one names no package.
    """
    place = "the command line"
    further = tuple(line for line in requirements if _names(line, place) not in PROVIDED)
    return replace(
        app,
        requirements=(*app.requirements, *further),
        debian_packages=(*app.debian_packages, *_debian(tuple(debian_packages), place)),
    )


def repository(name: str) -> str:
    """Return ``name`` as the engine allows it in the name of an image."""
    return re.sub(r"[-._]+", "-", name).lower()


def _names(requirement: str, file: str) -> str:
    found = _NAME.match(requirement.strip())
    if found is None:
        raise ManifestError(
            f"{file}: dependency {requirement!r} names no package",
            'write it as "numpy>=1.26" or "PACKAGE @ URL"',
        )
    return repository(found.group())


def _debian(names: tuple[str, ...], file: str) -> tuple[str, ...]:
    for name in names:
        if not _DEBIAN.fullmatch(name):
            raise ManifestError(
                f"{file}: {name!r} is no name of a Debian package",
                'write names only, such as debian-packages = ["libgomp1"]',
            )
    return names


def _table(
    document: Mapping[str, Any], path: str, file: str, default: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    found: Any = document
    for key in path.split("."):
        found = found.get(key, default) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise ManifestError(
            f"{file} has no table [{path}]", "`flwr new` writes a complete pyproject.toml"
        )
    return found


def _text(table: Mapping[str, Any], key: str, form: re.Pattern[str], file: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ManifestError(
            f"{file}: {key} in [project] is {value!r}",
            f"write a {key} of letters, digits, '.', '-' and '_'",
        )
    return value


def _strings(table: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ManifestError(
            f"{place}: {key} is no list of strings", f'write {key} = ["...", "..."]'
        )
    return tuple(value)
