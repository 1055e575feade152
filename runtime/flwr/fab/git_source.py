"""The app in a git repository: which commit is meant, and its files in a folder of ours.

The files are written from git's objects, not checked out: nothing the repository says (attributes,
filters, symbolic links, submodules, hooks) is obeyed, and the bytes are the same on every machine.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.core.origin import Origin
from flwr.fab.git_errors import (
    GitEmptyError,
    GitRefNotFoundError,
    NoAppInRepositoryError,
    explain_failure,
)
from flwr.fab.git_program import Git, Said
from flwr.fab.git_reference import GitReference
from flwr.fab.git_token import GitToken
from flwr.fab.git_tree import TreeFile, read_tree, write_files
from flwr.fab.verify import PYPROJECT

_HEADS, _TAGS = "refs/heads/", "refs/tags/"
_APP_REF: Final = "refs/flwr/app"  # in our own repository
_COMMIT_PREFIX: Final = re.compile(r"[0-9a-f]{7,64}")
_WHOLE_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SHA256_DIGITS: Final = 64
_SHALLOW: Final = ("--depth", "1")


@dataclass(frozen=True, slots=True)
class FetchedApp:
    """The app's folder, and the commit it was taken from."""

    folder: Path
    origin: Origin


def fetch_app(
    reference: GitReference, workplace: Path, *, token_file: Path | None = None
) -> FetchedApp:
    """Write the app that ``reference`` means below ``workplace``, an empty folder of the caller's.

    Args:
        reference: the repository and what to take of it.
        workplace: is the caller's to remove.
        token_file: holds the secret of a private repository; ssh has its own and ignores it.

    Raises:
        GitMissingError: there is no git program.
        GitTokenError: ``token_file`` holds no token.
        UnavailableError: the repository cannot be reached, or is too slow.
        DeniedError: it does not let the caller in.
        NotFoundError: there is no such repository, tag, branch or commit.
        TooLargeError: it exceeds a limit.
        NoAppInRepositoryError: there is no project at the place.
        GitContentError: it holds what cannot be a file.
    """
    token = None
    if token_file is not None and reference.takes_token:
        token = GitToken.read(token_file, reference.url)
    repository = _Repository(reference, workplace, token)
    commit = repository.fetch()
    files = read_tree(repository.list_files(commit))
    inside = dict(_below(reference.subdirectory, files))
    if PYPROJECT not in inside:
        folders = [str(Path(path).parent) for path in files if Path(path).name == PYPROJECT]
        raise NoAppInRepositoryError(reference, commit, folders)
    folder = workplace / "app"
    write_files(inside, folder, repository.read_objects)
    url = reference.url if reference.scheme != "file" else ""
    return FetchedApp(folder, Origin(commit=commit, url=url, subdirectory=reference.subdirectory))


class _Repository:
    """One remote repository, and the one of ours that its commit is brought to."""

    def __init__(self, reference: GitReference, workplace: Path, token: GitToken | None) -> None:
        self._reference, self._token = reference, token
        self._git = Git(workplace, scheme=reference.scheme, token=token)

    def fetch(self) -> str:
        """Bring the wanted commit here; return its id."""
        name, refs = self._reference.name, self._list_refs()
        if not refs:
            raise GitEmptyError(self._reference)
        self._create(refs)
        if (ref := _find_ref(name or "HEAD", refs)) is not None:
            self._bring(ref)
        elif not _COMMIT_PREFIX.fullmatch(name) or not self._bring_commit(name):
            raise GitRefNotFoundError(self._reference, _short_names(refs))
        found = self._call("rev-parse", "--verify", "--quiet", f"{_APP_REF}^{{commit}}")
        if found.status != 0:  # a tag of a file or folder
            raise GitRefNotFoundError(self._reference, _short_names(refs))
        return found.output.read_text().strip()

    def list_files(self, commit: str) -> bytes:
        """Return every file of the commit in the form of ``ls-tree -z --long``."""
        listed = self._call("ls-tree", "-r", "-z", "--long", "--full-tree", commit)
        return self._checked(listed).output.read_bytes()

    def read_objects(self, wanted: Path) -> Path:
        """Return a file with the objects whose ids are the lines of ``wanted``, in their order."""
        read = self._git.call("--git-dir=repository", "cat-file", "--batch", feed=wanted)
        return self._checked(read).output

    def _list_refs(self) -> Mapping[str, str]:
        """Return the ids that the repository's names point to, HEAD included."""
        name = self._reference.name
        patterns = ["HEAD", f"{_HEADS}*", f"{_TAGS}*", *([name] if name[:5] == "refs/" else [])]
        listed = self._git.call("ls-remote", "--quiet", "--", self._reference.url, *patterns)
        lines = self._checked(listed).output.read_text(errors="replace").splitlines()
        pairs = (line.split("\t", 1) for line in lines if "\t" in line)
        return {ref: commit for commit, ref in pairs if not ref.endswith("^{}")}

    def _create(self, refs: Mapping[str, str]) -> None:
        is_sha256 = len(next(iter(refs.values()))) == _SHA256_DIGITS
        kind = ["--object-format=sha256"] if is_sha256 else []
        made = self._git.call("init", "--quiet", "--bare", "--template=", *kind, "repository")
        self._checked(made)

    def _bring(self, ref: str) -> None:
        """Fetch one ref, without history where the way to the repository allows that."""
        brought = self._fetch(*_SHALLOW, refspec=f"+{ref}:{_APP_REF}")
        if brought.status != 0 and "shallow" in brought.error:
            brought = self._fetch(refspec=f"+{ref}:{_APP_REF}")
        self._checked(brought)

    def _bring_commit(self, name: str) -> bool:
        """Fetch a commit by its id, with all history if the repository wants it so."""
        if _WHOLE_COMMIT.fullmatch(name):
            brought = self._fetch(*_SHALLOW, refspec=f"+{name}:{_APP_REF}")
            if brought.status == 0:
                return True
        self._checked(self._fetch(refspec=f"+{_HEADS}*:{_HEADS}*", more=f"+{_TAGS}*:{_TAGS}*"))
        found = self._call("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if found.status != 0:
            return False
        commit = found.output.read_text().strip()
        return self._call("update-ref", _APP_REF, commit).status == 0

    def _fetch(self, *options: str, refspec: str, more: str = "") -> Said:
        specs = [refspec, *([more] if more else [])]
        fetch = ("fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-auto-gc")
        return self._call(*fetch, *options, "--", self._reference.url, *specs)

    def _call(self, *arguments: str) -> Said:
        return self._git.call("--git-dir=repository", *arguments)

    def _checked(self, said: Said) -> Said:
        if said.status != 0:
            with_token = self._token is not None
            raise explain_failure(self._reference, said.error, with_token=with_token)
        return said


def _find_ref(name: str, refs: Mapping[str, str]) -> str | None:
    """Return the full name; a tag comes before a branch, as git has it."""
    return next((ref for ref in (name, f"{_TAGS}{name}", f"{_HEADS}{name}") if ref in refs), None)


def _short_names(refs: Mapping[str, str]) -> set[str]:
    return {ref.removeprefix(_TAGS).removeprefix(_HEADS) for ref in refs} - {"HEAD"}


def _below(folder: str, files: Mapping[str, TreeFile]) -> Iterator[tuple[str, TreeFile]]:
    prefix = f"{folder}/" if folder else ""
    for path, file in files.items():
        if path.startswith(prefix):
            yield path.removeprefix(prefix), file
