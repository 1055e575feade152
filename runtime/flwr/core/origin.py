"""Where a bundle's sources come from: a repository and the commit that was taken from it."""

import re
from dataclasses import dataclass
from typing import Final

from flwr.core.errors import InvalidError

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_MAX_TEXT: Final = 1024  # characters


class OriginInvalidError(InvalidError):
    """What a bundle or a peer tells of an origin cannot be one."""

    def __init__(self, why: str) -> None:
        """Say which part."""
        super().__init__(f"the origin of the app cannot be read: {why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A commit of a git repository, and the app's folder in it.

    It is what the submitter's ``flwr`` says: it tells people where to look, and proves nothing.

    Raises:
        OriginInvalidError: a part has not its form.
    """

    commit: str  # the whole id, SHA-1 or SHA-256
    url: str = ""  # without "git+" and credentials; empty for a repository on the submitter's disk
    subdirectory: str = ""  # relative POSIX path; empty for the repository's root

    def __post_init__(self) -> None:
        if not _COMMIT.fullmatch(self.commit):
            raise OriginInvalidError(f"{self.commit[:80]!r} is no id of a commit")
        for name, text in (("url", self.url), ("subdirectory", self.subdirectory)):
            if len(text) > _MAX_TEXT or not text.isprintable():
                raise OriginInvalidError(f"its {name} is too long or not printable")
