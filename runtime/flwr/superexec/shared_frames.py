"""What an executor and the queue it shares with others say to each other: JSON, a line each.

One connection is one app's place in the queue, and then its share: who closes it gives both up, and
the kernel closes it for an executor that was killed.  The executor says one thing, ``Asked``; it is
told ``Told`` once it has waited for a moment, and once more when its app may begin.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flwr.core.capacity import AppNeeds
from flwr.core.errors import InvalidError
from flwr.superexec.ledger import Share


@dataclass(frozen=True, slots=True)
class Asked:
    """What one app needs, and what it has already when another queue gave it."""

    needs: AppNeeds
    since: float  # seconds of the clock that all processes of a machine share
    share: Share | None = None

    def line(self) -> bytes:
        """Write it."""
        gpus = None if self.share is None else self.share.gpus
        return _line({"needs": asdict(self.needs), "since": self.since, "has": gpus})

    @classmethod
    def read(cls, line: bytes) -> "Asked":
        """Read it.

        Raises:
            InvalidError: it is none.
        """
        said = _read(line)
        try:
            needs = AppNeeds(**said["needs"])
            share = None if said["has"] is None else Share(needs, tuple(said["has"]))
            return cls(needs, float(said["since"]), share)
        except (LookupError, TypeError, ValueError) as cause:
            raise InvalidError("an executor asked for something malformed") from cause


@dataclass(frozen=True, slots=True)
class Told:
    """An app waits, may begin with these GPUs, or never will."""

    gpus: tuple[str, ...] | None = None
    waits_for: str | None = None
    never: str | None = None

    def line(self) -> bytes:
        """Write it."""
        return _line(asdict(self))

    @classmethod
    def read(cls, line: bytes) -> "Told":
        """Read it.

        Raises:
            InvalidError: it is none.
        """
        said = _read(line)
        try:
            gpus = said.pop("gpus")
            return cls(None if gpus is None else tuple(gpus), **said)
        except (LookupError, TypeError) as cause:
            raise InvalidError("the queue said something malformed") from cause


def _line(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except ValueError as cause:
        raise InvalidError(f"{line[:80]!r} is no frame") from cause
    if not isinstance(said, dict):
        raise InvalidError(f"{line[:80]!r} is no frame")
    return said
