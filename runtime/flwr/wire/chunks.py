"""An array's data as the objects that they are sent as: cut, hashed once, and never copied."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flwr.app.array import Array, hand_over, known_ids, parts_of
from flwr.app.parts import cut
from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.core.limits import ARRAY_CHUNK_BYTES
from flwr.wire.object_format import Content, ObjectType, encode_head

CHUNK_SIZE_VARIABLE: Final = "FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE"
_HASH_THREADS: Final = 4
_HEAD_AND_BODY: Final = 2  # parts of an object whose bytes are in one place
_CHUNKS_PER_THREAD: Final = 2  # 10 MB take 6 ms, a thread less than one


@dataclass(frozen=True, slots=True)
class Source:
    """One object, in parts that are put together when its bytes are asked for."""

    parts: tuple[Content, ...]

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(map(len, self.parts))

    def make(self) -> bytes:
        """Return its bytes."""
        return b"".join(self.parts)


def chunks_and_ids(array: Array) -> tuple[list[Source], list[ObjectId]]:
    """Return the objects that an array is sent as, and their ids; nothing is hashed twice."""
    chunks = [_chunk_of(slices) for slices in cut(parts_of(array), _chunk_bytes())]
    if len(chunks) <= _CHUNKS_PER_THREAD:
        return chunks, [id_of_source(chunk) for chunk in chunks]
    return _handed_over(array)


def _handed_over(array: Array) -> tuple[list[Source], list[ObjectId]]:
    """Return the same of a large array, which may be elsewhere from now on."""
    hand_over(array)
    chunks = list(chunks_of(parts_of(array)))
    known = list(map(ObjectId, known_ids(array)))
    are_whole = all(len(chunk.parts) == _HEAD_AND_BODY for chunk in chunks)
    return chunks, known if are_whole and len(known) == len(chunks) else _ids_of(chunks)


def chunks_of(data: Sequence[Content]) -> Iterator[Source]:
    """Yield the objects that the data of an array are sent as, where they lie."""
    yield from (_chunk_of(slices) for slices in cut(data, _chunk_bytes()))


def _chunk_of(slices: list[memoryview]) -> Source:
    return Source((encode_head(ObjectType.ARRAY_CHUNK, (), sum(map(len, slices))), *slices))


def _ids_of(chunks: Sequence[Source]) -> list[ObjectId]:
    """Hash chunks on as many processors as help: nobody can send them before."""
    threads = min(_HASH_THREADS, os.cpu_count() or 1, len(chunks) // _CHUNKS_PER_THREAD)
    if threads < _HASH_THREADS // 2:
        return [id_of_source(chunk) for chunk in chunks]
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  # hooks into every fork

    with ThreadPoolExecutor(threads, thread_name_prefix="hash") as pool:
        return list(pool.map(id_of_source, chunks))


def id_of_source(source: Source) -> ObjectId:
    """Return the id of an object, by hashing it."""
    digest = hashlib.sha256()
    for part in source.parts:
        digest.update(part)
    return ObjectId(digest.hexdigest())


def _chunk_bytes() -> int:
    text = os.environ.get(CHUNK_SIZE_VARIABLE, str(ARRAY_CHUNK_BYTES))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise InvalidError(
            f"{CHUNK_SIZE_VARIABLE} is {text!r}",
            hint=f"unset it, or set a number of bytes such as {ARRAY_CHUNK_BYTES}",
        )
    return int(text)
