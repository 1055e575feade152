"""Versions of the bundle's format, and what each asks of the manifest (wire contract §13)."""

import re
from collections.abc import Mapping
from typing import Any, Final

LICENSE_FILES: Final = ("LICENSE", "LICENSE.md")
_NEWEST: Final = 1
_RELEASE: Final = re.compile(r"\d+(?:\.\d+){0,3}", re.ASCII)
_FLWR: Final = re.compile(r"flwr(?:\[[^\]]*\])?\s*(?P<bounds>.*)", re.ASCII)
_LOWER: Final = re.compile(r">=\s*(?P<release>\d+(?:\.\d+){0,3})", re.ASCII)


def check_format_version(
    project: Mapping[str, Any],
    app: Mapping[str, Any],
) -> tuple[int, list[str]]:
    """Return the declared ``fab-format-version`` and the problems it brings."""
    version = app.get("fab-format-version", 0)
    if isinstance(version, bool) or not isinstance(version, int) or not 0 <= version <= _NEWEST:
        return 0, [f'property "fab-format-version" in [tool.flwr.app] must be 0 to {_NEWEST}']
    if version == 0:
        return 0, []
    problems = _target_problems(app.get("flwr-version-target"), _lower_bound(project))
    if license_file(project) is None:
        problems.append('fab-format-version 1 needs license = {file = "LICENSE"} in [project]')
    return version, problems


def license_file(project: Mapping[str, Any]) -> str | None:
    """Return the licence file the project names, if it is one a bundle may carry."""
    declared = project.get("license")
    name = declared.get("file") if isinstance(declared, Mapping) else None
    return name if name in LICENSE_FILES else None


def _lower_bound(project: Mapping[str, Any]) -> tuple[int, ...] | None:
    dependencies = project.get("dependencies")
    for requirement in dependencies if isinstance(dependencies, list) else ():
        flwr = _FLWR.fullmatch(str(requirement).strip())
        lower = _LOWER.search(flwr["bounds"]) if flwr else None
        if lower:
            return _numbers(lower["release"])
    return None


def _target_problems(target: object, lower: tuple[int, ...] | None) -> list[str]:
    if not isinstance(target, str) or not _RELEASE.fullmatch(target):
        return ['fab-format-version 1 needs "flwr-version-target" in [tool.flwr.app], as "1.29.0"']
    if lower is None:
        return ['fab-format-version 1 needs a dependency "flwr>=..." in [project]']
    if _numbers(target) < lower:
        return [f'"flwr-version-target" {target} is below the declared flwr requirement']
    return []


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))
