"""The app's object: its bundle installed and checked, its module imported, its attribute found."""

import importlib
import sys
from functools import reduce
from typing import TYPE_CHECKING, TypeVar

from flwr.core.errors import InvalidError
from flwr.core.ids import FabHash
from flwr.fab.entry import EntryReference

if TYPE_CHECKING:
    from flwr.fab.install import InstalledApp

App = TypeVar("App")


class LoadError(InvalidError):
    """The app's object cannot be had; the cause, if any, is what its module raised."""

    def __init__(self, entry: EntryReference, why: str) -> None:
        super().__init__(f"Unable to load {entry}: {why}")
        self.entry = entry


def install(content: bytes, fab_hash: str) -> "InstalledApp":
    """Make the bundle's app importable, before anything else of the same name.

    Raises:
        FabHashMismatchError: (or another error of ``fab.errors``) the bundle is refused.
    """
    # Archives, manifests and hashes: a worker of a simulation, which only loads, is forked often.
    from flwr.core.home import flwr_home  # noqa: PLC0415
    from flwr.fab.install import install_fab  # noqa: PLC0415

    expected = FabHash(fab_hash) if fab_hash else None
    app = install_fab(content, flwr_home() / "apps", expected_hash=expected)
    sys.path.insert(0, str(app.path))
    importlib.invalidate_caches()
    return app


def load(entry: EntryReference, kind: type[App]) -> App:
    """Import the entry's module and return its attribute.

    Raises:
        LoadError: the module raised, or the attribute is missing or of another type.
    """
    try:
        module = importlib.import_module(entry.module)
    except (Exception, SystemExit) as cause:
        raise LoadError(entry, f"{type(cause).__name__}: {cause}") from cause
    try:
        found = reduce(getattr, entry.attribute.split("."), module)
    except AttributeError as cause:
        raise LoadError(entry, str(cause)) from cause
    if not isinstance(found, kind):
        raise LoadError(entry, f"it is a {type(found).__name__}, not a {kind.__name__}")
    return found
