"""Which files of an app's folder enter its bundle, and why the others do not (contract §13)."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flwr.core.limits import MAX_FAB_DEPTH, MAX_FAB_FILES
from flwr.fab.errors import AppBuildError
from flwr.fab.manifest import AppManifest
from flwr.fab.verify import INFO_DIRECTORY, PYPROJECT

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_SUFFIXES: Final = (".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl")
_LICENSES: Final = frozenset({"LICENSE", "LICENSE.md"})  # in the root
_NEVER: Final = frozenset(  # folders in the root
    {
        *(".flwr", INFO_DIRECTORY, "build", "eggs", ".eggs", "lib", "lib64", "parts"),
        *(".venv", "env", "venv", "ENV", "env.bak", "venv.bak"),
    },
)
_CACHE: Final = "__pycache__"
_PRUNED: Final = frozenset({_CACHE, ".git"})  # anywhere; not worth a listing per file


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file or folder that stays out, and the reason."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class FileListing:
    """What a bundle takes from the app's folder."""

    kept: tuple[str, ...]  # sorted; without the root pyproject.toml, which always enters
    dropped: tuple[Dropped, ...]  # sorted


def collect(app_dir: Path, manifest: AppManifest) -> FileListing:
    """Sort the files of ``app_dir`` into kept and dropped.

    Raises:
        AppBuildError: a pattern matches nothing or reaches a file that cannot be bundled, or the
            folder is too deep or too full.
    """
    dropped: list[Dropped] = []
    found = list(_walk(app_dir, dropped))
    candidates = _heed_gitignore(app_dir, found, dropped)
    candidates = _narrow(candidates, manifest, dropped)
    kept = _drop(candidates, is_never_bundled, "never bundled", dropped)
    kept = _drop(kept, is_test, "test", dropped)
    kept = _drop(kept, lambda path: not is_bundled_type(path), "type not bundled", dropped)
    kept = _drop(kept, _is_inner_pyproject, "only the root pyproject.toml is bundled", dropped)
    _check_limits(kept)
    return FileListing(tuple(sorted(kept)), tuple(sorted(dropped, key=lambda d: d.path)))


def is_bundled_type(path: str) -> bool:
    """Tell whether a file enters bundles, or all of the folder that it is in."""
    parts = path.split("/")
    return parts[0] in _LICENSES or any(part.endswith(_SUFFIXES) for part in parts)


def is_test(path: str) -> bool:
    """Tell whether a file is a test."""
    return any(
        part.endswith("_test.py") or (part.startswith("test_") and part.endswith(".py"))
        for part in path.split("/")
    )


def is_never_bundled(path: str) -> bool:
    """Tell whether a file lies where no file of an app does."""
    *folders, name = path.split("/")
    if folders and (folders[0] in _NEVER or _CACHE in folders):
        return True
    return any(part.endswith(".egg") for part in (*folders, name))


def _walk(app_dir: Path, dropped: list[Dropped]) -> Iterator[str]:
    for folder, directories, files in os.walk(app_dir, followlinks=False):
        here = Path(folder)
        for name in list(directories):
            relative = (here / name).relative_to(app_dir).as_posix()
            if (here / name).is_symlink():
                dropped.append(Dropped(relative, "symbolic link"))
            elif name in _PRUNED or is_never_bundled(f"{relative}/x"):
                dropped.append(Dropped(f"{relative}/", "never bundled"))
            else:
                continue
            directories.remove(name)
        for name in files:
            path = here / name
            relative = path.relative_to(app_dir).as_posix()
            if path.is_symlink() or not path.is_file():
                dropped.append(Dropped(relative, "not a regular file"))
            elif relative != PYPROJECT:
                yield relative


def _heed_gitignore(app_dir: Path, paths: list[str], dropped: list[Dropped]) -> list[str]:
    file = app_dir / ".gitignore"
    if not file.is_file():
        return paths
    ignored = _patterns(file.read_text(errors="replace").splitlines())
    return _drop(paths, ignored.match_file, "matched by .gitignore", dropped)


def _patterns(lines: Iterable[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 15 ms, for apps that have patterns

    return GitIgnoreSpec.from_lines(lines)


def _narrow(paths: list[str], manifest: AppManifest, dropped: list[Dropped]) -> list[str]:
    """Apply the user's patterns: an include narrows, an exclude removes."""
    if manifest.include:
        included = _patterns(_each_matches("fab-include", manifest.include, paths))
        for path in included.match_files(paths):
            if not is_bundled_type(path):
                raise AppBuildError(
                    f"fab-include reaches {path!r}, which cannot be bundled",
                    hint=f"only these types are: {', '.join(_SUFFIXES)}",
                )
        reason = "not matched by fab-include"
        paths = _drop(paths, lambda path: not included.match_file(path), reason, dropped)
    if manifest.exclude:
        excluded = _patterns(_each_matches("fab-exclude", manifest.exclude, paths))
        paths = _drop(paths, excluded.match_file, "matched by fab-exclude", dropped)
    return paths


def _each_matches(key: str, patterns: Sequence[str], paths: Sequence[str]) -> Sequence[str]:
    for pattern in patterns:
        if not any(_patterns([pattern.removeprefix("!")]).match_files(paths)):
            raise AppBuildError(
                f"{key} pattern {pattern!r} matches no file",
                hint="correct or remove the pattern in [tool.flwr.app]",
            )
    return patterns


def _drop(
    paths: Iterable[str],
    out: Callable[[str], bool | None],
    why: str,
    dropped: list[Dropped],
) -> list[str]:
    kept: list[str] = []
    for path in paths:
        if out(path):
            dropped.append(Dropped(path, why))
        else:
            kept.append(path)
    return kept


def _is_inner_pyproject(path: str) -> bool:
    return path.endswith(f"/{PYPROJECT}")


def _check_limits(kept: Sequence[str]) -> None:
    if len(kept) + 2 > MAX_FAB_FILES:
        raise AppBuildError(f"the app has {len(kept)} files, the limit is {MAX_FAB_FILES}")
    for path in kept:
        if path.count("/") > MAX_FAB_DEPTH:
            raise AppBuildError(f"{path!r} is more than {MAX_FAB_DEPTH} directories deep")
