"""Objects on their way into the store: hashed as they come, large ones never whole in memory.

Begin with ``Store.begin_object``, write pieces, ``finish``, and give what arrived to a transaction.
Files are written and made durable outside of any transaction, so nobody waits for the disk.
"""

import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from flwr.core.errors import InvalidError, TooLargeError
from flwr.core.ids import ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES, MAX_OBJECT_BYTES
from flwr.store.outgoing import OpenObject
from flwr.store.payloads import Payloads, PayloadWriter

_ID_BYTES: Final = 32
_HASHED_ASIDE: Final = 2_097_152  # bytes of a piece that is hashed while it is written
_THREADS: Final = ThreadPoolExecutor(4, thread_name_prefix="hashing")  # made when needed


@dataclass(frozen=True, slots=True)
class ArrivedObject:
    """A complete object whose bytes have its id: in memory if it is small, else in a file."""

    object_id: ObjectId
    size: int
    content: bytes | None
    file: str | None


class WrongContentError(InvalidError):
    """What arrived has another id than was said."""

    def __init__(self, object_id: ObjectId) -> None:
        """Name the object."""
        super().__init__(f"the content does not have the object id {object_id}")
        self.object_id = object_id


class IncomingObject:
    """One object while its pieces arrive; not for two threads at a time."""

    def __init__(
        self, payloads: Payloads, object_id: ObjectId | None, size: int, *, durable: bool = True
    ) -> None:
        """Expect ``size`` bytes, to be ``durable`` when they are finished.

        Without ``object_id``, they have the id that they turn out to have.

        Raises:
            TooLargeError: one object may not have so many.
        """
        self._has_id = object_id is not None
        self.object_id = object_id or ObjectId(secrets.token_hex(_ID_BYTES))
        """Something to call it by until it is finished, if it came without."""
        require_size(self.object_id, size)
        self.size: Final = size
        self.received = 0
        """Bytes that have arrived."""
        self.arrived: ArrivedObject | None = None
        """What it became; None until it is finished."""
        self._payloads, self._digest, self._kept = payloads, sha256(), bytearray()
        self._durable, is_large = durable, size > INLINE_OBJECT_BYTES
        self._writer = payloads.begin(self.object_id, size, durable=durable) if is_large else None

    @property
    def is_complete(self) -> bool:
        """True when all bytes are here."""
        return self.received == self.size

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece.

        Raises:
            InvalidError: the object gets longer than was said.
            StoreFullError: the disk is full.
        """
        if self.received + len(piece) > self.size:
            raise InvalidError(f"object {self.object_id} is longer than announced")
        if self._writer is None:
            self._digest.update(piece)
            self._kept += piece
        elif len(piece) < _HASHED_ASIDE:
            self._digest.update(piece)
            self._writer.write(piece)
        else:
            hashing = _THREADS.submit(self._digest.update, piece)
            try:
                self._writer.write(piece)
            finally:
                hashing.result()  # its bytes may be others when we return
        self.received += len(piece)

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes of what has arrived."""
        if self._writer is None:
            return bytes(self._kept[offset : offset + size])
        return self._writer.read(offset, size)

    def finish(self) -> ArrivedObject:
        """Return it, durable if it is large and shall be.

        Raises:
            WrongContentError: it has another id; it is dropped.
        """
        if not self._has_id:
            self.object_id = ObjectId(self._digest.hexdigest())
        if not self.is_complete or self._digest.hexdigest() != self.object_id:
            self.abandon()
            raise WrongContentError(self.object_id)
        if self._writer is None:
            arrived = ArrivedObject(self.object_id, self.size, bytes(self._kept), None)
        else:
            arrived = ArrivedObject(
                self.object_id, self.size, None, self._finish_file(self._writer)
            )
        self.arrived = arrived
        return arrived

    def open(self) -> OpenObject | None:
        """Open the file of a finished one for reading; None if it has none, or not any more."""
        if self.arrived is None or self.arrived.file is None:
            return None
        return self._payloads.open(self.arrived.file)

    def discard(self) -> None:
        """Drop a finished one that no transaction has taken."""
        if self.arrived is not None and self.arrived.file is not None:
            self._payloads.remove([self.arrived.file])

    def abandon(self) -> None:
        """Drop it, unless it is finished."""
        if self._writer is not None:
            self._writer.abandon()

    def _finish_file(self, writer: PayloadWriter) -> str:
        try:
            file = writer.finish()
        except BaseException:
            self.abandon()
            raise
        if self._durable:
            self._payloads.seal([file])
        return file


def require_size(object_id: ObjectId, size: int) -> None:
    """Check that an object may have so many bytes.

    Raises:
        TooLargeError: it may not.
    """
    if size > MAX_OBJECT_BYTES:
        raise TooLargeError(f"object {object_id} has {size} bytes, {MAX_OBJECT_BYTES} are allowed")
