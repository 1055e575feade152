"""Objects on their way out of the store: open for reading, a piece at a time."""

from hashlib import sha256
from typing import Final, Protocol

from flwr.core.ids import ObjectId
from flwr.store.errors import ObjectDamagedError


class OpenObject(Protocol):
    """The content of one object; close it when it is read."""

    size: int
    """In bytes."""

    @property
    def descriptor(self) -> int | None:
        """Of a file that holds the content and never changes; None: there is none."""
        ...

    @property
    def lead(self) -> int:
        """Where in that file the content begins; it ends with it."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on; none at the end."""
        ...

    def read_now(self, target: memoryview, offset: int) -> int:
        """Fill ``target`` with what memory has from ``offset`` on; 0: the disk has to be asked."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class InlineObject:
    """A small object, which is in its row."""

    descriptor: Final = None
    lead: Final = 0

    def __init__(self, object_id: ObjectId, content: bytes) -> None:
        """Hold the content.

        Raises:
            ObjectDamagedError: it is not the content of that name.
        """
        if sha256(content).hexdigest() != object_id:
            raise ObjectDamagedError(object_id, "its bytes were altered")
        self._content, self.size = content, len(content)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on; none at the end."""
        return self._content[offset : offset + size]

    def read_now(self, target: memoryview, offset: int) -> int:
        """Fill ``target`` from ``offset`` on."""
        data = self.read(offset, len(target))
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Nothing is held that must be let go."""
