"""A place for objects, as the Bulk services and the hatch see a store."""

import asyncio
import hashlib
import sys
import tempfile
from collections.abc import Sequence
from typing import BinaryIO

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.wire.bulk import Readable
from flwr.wire.codec.pieces import Absence, Wanted


def id_of(content: bytes) -> ObjectId:
    return ObjectId(hashlib.sha256(content).hexdigest())


def filed(content: bytes, lead: int) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115  (closed with what it is the content of)
    file.write(bytes(lead) + content)
    file.flush()
    return file


UNNAMED = ObjectId("")
LEAD = 11  # of files of deposits


class Arriving:
    """One object on its way; counts what it holds."""

    def __init__(self, object_id: ObjectId, size: int) -> None:
        self.object_id, self.size = object_id, size
        self.content = bytearray()
        self.longest = 0
        self.is_abandoned = self.is_discarded = False

    @property
    def received(self) -> int:
        return len(self.content)

    def write(self, piece: bytes | memoryview) -> None:
        self.longest = max(self.longest, len(piece))
        self.content += piece

    def abandon(self) -> None:
        self.is_abandoned = True

    def open(self) -> "Content | None":
        opened = Content(bytes(self.content))
        opened.lead = LEAD
        opened.file = filed(opened.read(0, opened.size), LEAD)
        return opened

    def discard(self) -> None:
        self.is_discarded = True


class Content:
    """Content that is read in pieces; remembers the largest."""

    def __init__(self, content: bytes) -> None:
        self._content, self.size, self.is_closed = content, len(content), False
        self.longest = 0
        self.is_cached = True
        self.file: BinaryIO | None = None
        self.lead = 0

    @property
    def descriptor(self) -> int | None:
        return None if self.file is None else self.file.fileno()

    def read(self, offset: int, size: int) -> bytes:
        data = self._content[offset : offset + size]
        self.longest = max(self.longest, len(data))
        return data

    def read_now(self, target: memoryview, offset: int) -> int:
        if not self.is_cached:
            return 0
        data = self.read(offset, len(target))
        target[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self.is_closed = True
        if self.file is not None:
            self.file.close()


class Desk:
    """A door that anybody may use."""

    def __init__(self, *, wanted: Sequence[ObjectId] = (), has: Sequence[bytes] = ()) -> None:
        self.wanted = set(wanted)
        self.has = {id_of(content): content for content in has}
        self.opened: list[Content] = []
        self.begun: list[Arriving] = []
        self.batches: list[list[ObjectId]] = []
        self.kept: dict[ObjectId, bytes] = {}
        self.durable: list[ObjectId] = []
        self.suspected: list[ObjectId] = []
        self.admitted = 0
        self.collected = asyncio.Event()
        self.filed_above = sys.maxsize
        self.lead = 0
        self.told_lead: int | None = None

    def admit(self) -> None:
        self.admitted += 1

    async def open(self, wanted: Wanted) -> Readable | Absence:
        if wanted.is_suspected:
            self.suspected.append(wanted.object_id)
        content = self.has.get(wanted.object_id)
        if content is None:
            return Absence.AWAITED if wanted.object_id in self.wanted else Absence.UNKNOWN
        self.opened.append(Content(content))
        if len(content) > self.filed_above:
            self.opened[-1].lead = self.lead if self.told_lead is None else self.told_lead
            self.opened[-1].file = filed(content, self.lead)
        return self.opened[-1]

    def begin(self, object_id: ObjectId, size: int) -> Arriving | None:
        if object_id not in self.wanted:
            return None
        self.begun.append(Arriving(object_id, size))
        return self.begun[-1]

    def begin_deposit(self, size: int) -> Arriving:
        self.begun.append(Arriving(UNNAMED, size))
        return self.begun[-1]

    def complete(self, arriving: Arriving) -> None:
        if arriving.object_id == UNNAMED:
            arriving.object_id = id_of(bytes(arriving.content))
        if id_of(bytes(arriving.content)) != arriving.object_id:
            raise InvalidError("it has another id")

    def keep(self, complete: Sequence[Arriving]) -> list[bool]:
        self.batches.append([one.object_id for one in complete])
        self.kept |= {one.object_id: bytes(one.content) for one in complete}
        return [True] * len(complete)

    def settle(self, kept: Sequence[Arriving]) -> None:
        self.durable += [one.object_id for one in kept]

    async def until_gone(self, kept: Sequence[Arriving]) -> None:
        await self.collected.wait()
