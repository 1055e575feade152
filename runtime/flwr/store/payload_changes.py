"""The payload files that one transaction writes and gives up: with it, or not at all."""

from collections.abc import Sequence

from flwr.core.ids import ObjectId
from flwr.store.payloads import PayloadReader, Payloads


class PayloadChanges:
    """The files one transaction writes and gives up."""

    def __init__(self, payloads: Payloads) -> None:
        """Collect changes of ``payloads``."""
        self._payloads = payloads
        self._written: list[str] = []
        self._unsealed: list[str] = []
        self._adopted: set[str] = set()
        self._doomed: list[str] = []

    def write(self, object_id: ObjectId, content: bytes, *, durable: bool = True) -> str:
        """Write a file now; return its name for the row.  ``durable``: before the commit."""
        name = self._payloads.write(object_id, content, durable=durable)
        self._written.append(name)
        if durable:
            self._unsealed.append(name)
        return name

    @property
    def unsynced(self) -> Sequence[str]:
        """What was written and need not be durable before the commit."""
        return [name for name in self._written if name not in self._unsealed]

    def adopt(self, names: Sequence[str]) -> None:
        """Take over files that are durable already, with their names; they go unless kept."""
        self._adopted.update(names)
        self._doomed += names

    def keep(self, name: str) -> None:
        """Let an adopted file stay: a row names it."""
        self._doomed.remove(name)

    def open(self, name: str) -> PayloadReader | None:
        """Open a file for reading, None if it is gone."""
        return self._payloads.open(name)

    def remove(self, names: list[str]) -> None:
        """Remove the files once the transaction has committed."""
        self._doomed += names

    def seal(self) -> None:
        """Make durable what was written to be; call before the commit."""
        self._payloads.seal(self._unsealed)

    @property
    def gives_up_files(self) -> bool:
        """True when ``committed`` removes files that a power cut would have left."""
        return not all(map(self._payloads.is_unsynced, self._doomed))

    def committed(self) -> None:
        """Remove what the committed transaction gave up."""
        self._payloads.remove(self._doomed)

    def rolled_back(self) -> None:
        """Remove what the failed transaction wrote."""
        self._payloads.remove([*self._written, *self._adopted])
