"""An app that has no folder yet, given one for as long as it is needed."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flwr.fab.git_reference import GitReference
from flwr.fab.git_source import FetchedApp, fetch_app
from flwr.fab.inline import InlineApp, write_project


@contextmanager
def opened_from_git(
    reference: GitReference, *, token_file: Path | None = None
) -> Iterator[FetchedApp]:
    """Fetch the app of a git reference; its folder is gone at exit.

    Raises:
        FlwrError: what ``git_source.fetch_app`` raises.
    """
    with tempfile.TemporaryDirectory(prefix="flwr-git-") as workplace:
        yield fetch_app(reference, Path(workplace), token_file=token_file)


@contextmanager
def opened_inline(app: InlineApp) -> Iterator[Path]:
    """Write the project of an inline app; its folder is gone at exit."""
    with tempfile.TemporaryDirectory(prefix="flwr-inline-") as folder:
        write_project(app, Path(folder))
        yield Path(folder)
