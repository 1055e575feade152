"""Which apps an executor launches: all of them, or only those it was made for.

An image holds the dependencies of its apps.  Two apps whose dependencies contradict each other get
an image each, and each executor says which apps are its own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from flwr.core.errors import InvalidError

_FAB_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}/[A-Za-z0-9._-]{1,128}", re.ASCII)
_MOST: Final = 64  # names in one choice; they travel in the headers of a call


@dataclass(frozen=True, slots=True)
class AppChoice:
    """A set of apps by their ids, publisher/name; None: every app."""

    fab_ids: frozenset[str] | None = None

    def admits(self, fab_id: str) -> bool:
        """Tell whether an app is one of them."""
        return self.fab_ids is None or fab_id in self.fab_ids

    def __str__(self) -> str:
        return "" if self.fab_ids is None else ",".join(sorted(self.fab_ids))


EVERY_APP: Final = AppChoice()


def read_choice(text: str) -> AppChoice:
    """Read a comma list of publisher/name; an empty one means every app.

    Raises:
        InvalidError: it is none.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names if not _FAB_ID.fullmatch(name)]:
        raise InvalidError(
            f"{wrong[0]!r} is not the id of an app",
            hint="write publisher/name as in the app's pyproject.toml, several joined with commas",
        )
    if len(names) > _MOST:
        raise InvalidError(f"{len(names)} apps are too many", hint=f"name at most {_MOST}")
    return AppChoice(frozenset(names)) if names else EVERY_APP


def union(choices: Iterable[AppChoice]) -> AppChoice:
    """Return the apps that are in any of ``choices``."""
    together: frozenset[str] = frozenset()
    for choice in choices:
        if choice.fab_ids is None:
            return EVERY_APP
        together |= choice.fab_ids
    return AppChoice(together)
