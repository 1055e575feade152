"""How a payload file is named, and where in it the content begins.

``ab/<object id>.<random>[.<lead>][~]``.  The content follows ``lead`` bytes that mean nothing, so
that what comes after its head (up to the first NUL) begins on a page: such files can be mapped side
by side, and are an array then.  Files of earlier versions have no lead.
"""

import secrets
from typing import Final

from flwr.core.ids import ObjectId

PAGE: Final = 4_096  # bytes; of most machines, and more would be holes in files
_LONGEST_HEAD: Final = 4_096  # that is looked for: heads of what is worth it are short
_UNSURE: Final = "~"  # ends the name of a file that need not be durable
_HAS_LEAD: Final = 3  # parts of a name


def lead_before(beginning: memoryview) -> int:
    """Return how many bytes come before a content that begins so; 0: it has no short head."""
    head = bytes(beginning[:_LONGEST_HEAD]).find(0) + 1
    return -head % PAGE if head else 0


def file_name(object_id: ObjectId, lead: int, *, durable: bool) -> str:
    """Return a name that no file has yet; ``durable``: such is the file when it is finished."""
    named_lead = f".{lead}" if lead else ""
    unsure = "" if durable else _UNSURE
    return f"{object_id[:2]}/{object_id}.{secrets.token_hex(4)}{named_lead}{unsure}"


def lead_of(name: str) -> int:
    """Return where in a file of that name the content begins."""
    parts = name.removesuffix(_UNSURE).split(".")
    return int(parts[-1]) if len(parts) == _HAS_LEAD else 0


def is_unsure(name: str) -> bool:
    """Tell whether a file may have been lost by a power cut, or a part of it."""
    return name.endswith(_UNSURE)
