"""Statements about objects: the content-addressed parts of messages.

A message owns the objects of its tree.  An object lives as long as any message owns it; messages,
nodes and runs share it.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, exists, func, or_, select, update

from flwr.core.errors import InvalidError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import ENCLOSED_MESSAGE_BYTES, INLINE_OBJECT_BYTES, SMALL_MESSAGE_BYTES
from flwr.core.message import ObjectTree
from flwr.store.dialect import MAX_IDS, insert_missing, insert_or_fill
from flwr.store.errors import ObjectDamagedError
from flwr.store.incoming import ArrivedObject, require_size
from flwr.store.outgoing import InlineObject, OpenObject
from flwr.store.payload_changes import PayloadChanges
from flwr.store.prepared import Prepared, Row
from flwr.store.schema import instruction, message_object, object_, reply

Announced = tuple[MessageId, ObjectTree, Mapping[ObjectId, bytes]]
"""A message, its objects, and the contents of those that came along."""

_NOTHING: Final[Mapping[ObjectId, bytes]] = {}
_ABSENT: Final = {"size_bytes": None, "content": None, "file": None}

_ASKED: Final = object_.c.object_id == bindparam("object_id")
_OWNED: Final = (
    message_object.c.object_id == bindparam("object_id"),
    message_object.c.run_id == bindparam("run_id", type_=message_object.c.run_id.type),
)
_NODE_ID: Final = bindparam("node_id", type_=instruction.c.dst_node_id.type)

# Statements of the busy paths are built once: building one costs more than running it.
_CONTENT: Final = Prepared(select(object_).where(_ASKED))
_SIZE: Final = Prepared(select(object_.c.size_bytes).where(_ASKED))
_OF_THESE: Final = message_object.c.message_id.in_(bindparam("owners", expanding=True))
_MISSING: Final = Prepared(
    select(message_object.c.message_id, message_object.c.object_id)
    .join(object_, object_.c.object_id == message_object.c.object_id)
    .where(_OF_THESE, object_.c.size_bytes.is_(None))
    .order_by(message_object.c.message_id, message_object.c.position)
)
_MOST: Final = bindparam("most", type_=object_.c.size_bytes.type)
_SMALL: Final = (  # an awaited object counts more than any small message has
    select(message_object.c.message_id)
    .join(object_, object_.c.object_id == message_object.c.object_id)
    .where(_OF_THESE)
    .group_by(message_object.c.message_id)
    .having(func.sum(func.coalesce(object_.c.size_bytes, ENCLOSED_MESSAGE_BYTES + 1)) <= _MOST)
)
_CONTENTS: Final = Prepared(
    select(message_object.c.message_id, object_.c.object_id, object_.c.content, object_.c.file)
    .join(object_, object_.c.object_id == message_object.c.object_id)
    .where(message_object.c.message_id.in_(_SMALL))
)
_FILES: Final = Prepared(
    select(object_.c.file)
    .join(message_object, object_.c.object_id == message_object.c.object_id)
    .where(message_object.c.message_id == bindparam("owner"), object_.c.file.is_not(None))
)
_BELONGS: Final = Prepared(select(exists().where(*_OWNED)))
_BELONGS_TO_NODE: Final = Prepared(
    select(
        exists().where(
            *_OWNED,
            or_(
                exists().where(
                    instruction.c.message_id == message_object.c.message_id,
                    instruction.c.dst_node_id == _NODE_ID,
                ),
                exists().where(
                    reply.c.message_id == message_object.c.message_id,
                    reply.c.src_node_id == _NODE_ID,
                ),
            ),
        ),
    )
)

_RELEASE: Final = Prepared(
    delete(message_object)
    .where(message_object.c.message_id.in_(bindparam("ids", expanding=True)))
    .returning(message_object.c.object_id)
)
_RELEASE_RUN: Final = Prepared(
    delete(message_object)
    .where(message_object.c.run_id == bindparam("of_run", type_=message_object.c.run_id.type))
    .returning(message_object.c.object_id)
)
_DELETE_UNOWNED: Final = Prepared(
    delete(object_)
    .where(
        object_.c.object_id.in_(bindparam("ids", expanding=True)),
        ~exists().where(message_object.c.object_id == object_.c.object_id),
    )
    .returning(object_.c.file)
)


class ObjectState(StrEnum):
    """What the store has of an object."""

    UNKNOWN = "unknown"  # nobody announced it
    AWAITED = "awaited"  # announced, content not here yet
    PRESENT = "present"


class Objects:
    """The objects, as one transaction sees them."""

    def __init__(self, connection: Connection, payloads: PayloadChanges) -> None:
        """Work within the transaction of ``connection``; large content goes to ``payloads``."""
        self._connection = connection
        self._payloads = payloads

    def preregister(
        self,
        run_id: RunId,
        owner: MessageId,
        tree: ObjectTree,
        contents: Mapping[ObjectId, bytes] = _NOTHING,
        *,
        durable: bool = False,
    ) -> list[ObjectId]:
        """Announce the objects of a message and make it their owner; safe to repeat.

        Args:
            run_id: of the message.
            owner: the message.
            tree: its objects.
            contents: of some of them, by their true ids.
            durable: large ones survive a power cut with their rows, else when they are settled.

        Returns:
            The ids whose content is still missing, children before parents.
        """
        return self.preregister_all(run_id, [(owner, tree, contents)], durable=durable)[owner]

    def preregister_all(
        self, run_id: RunId, announced: Sequence[Announced], *, durable: bool = False
    ) -> dict[MessageId, list[ObjectId]]:
        """Announce the objects of many messages of a run, as ``preregister`` does of one."""
        ids = {owner: list(tree.walk()) for owner, tree, _ in announced}
        brought = {i: c for owner, _, contents in announced for i, c in contents.items()}
        self._add(
            {part: brought.get(part) for parts in ids.values() for part in parts}, durable=durable
        )
        owned = [
            {"message_id": owner, "object_id": part, "position": n, "run_id": run_id}
            for owner, parts in ids.items()
            for n, part in enumerate(parts)
        ]
        insert_missing(self._connection, message_object, owned)
        not_whole = [o for o, parts in ids.items() if not all(part in brought for part in parts)]
        return {**{owner: [] for owner in ids}, **self.missing_all(not_whole)}

    def contents(
        self, owner: MessageId, *, at_most: int = SMALL_MESSAGE_BYTES
    ) -> dict[ObjectId, bytes]:
        """Return all objects of a small message; none if it is large or not all of it is here.

        Args:
            owner: the message.
            at_most: how many bytes are small.  Those in rows are not checked against their ids.
        """
        return self.contents_of([owner], at_most=at_most).get(owner, {})

    def contents_of(
        self, owners: Sequence[MessageId], *, at_most: int = SMALL_MESSAGE_BYTES
    ) -> dict[MessageId, dict[ObjectId, bytes]]:
        """Return ``contents`` of those of many messages that are small and here."""
        if not at_most:
            return {}
        found: dict[MessageId, dict[ObjectId, bytes]] = {}
        read: dict[str, bytes | None] = {}  # what many messages share, once
        lacking: set[MessageId] = set()
        for start in range(0, len(owners), MAX_IDS):
            these = {"owners": owners[start : start + MAX_IDS], "most": at_most}
            for owner, part, content, file in _CONTENTS.rows(self._connection, these):
                if file is not None and file not in read:
                    read[file] = self._read_file(ObjectId(part), file)
                whole = content if file is None else read[file]
                if whole is None:
                    lacking.add(MessageId(owner))
                else:
                    found.setdefault(MessageId(owner), {})[ObjectId(part)] = whole
        return {owner: parts for owner, parts in found.items() if owner not in lacking}

    def _read_file(self, object_id: ObjectId, file: str) -> bytes | None:
        """Return what a file holds, None if that is not the object: who opens it finds out why."""
        reader = self._payloads.open(file)
        if reader is None:
            return None
        with closing(reader):
            return reader.read(0, reader.size) if reader.has_hash(object_id) else None

    def files_of(self, owner: MessageId) -> list[str]:
        """Return the files of a message's large objects."""
        return [row.file for row in _FILES.rows(self._connection, {"owner": owner})]

    def missing(self, owner: MessageId) -> list[ObjectId]:
        """Return the ids this message still lacks content for, children before parents."""
        return self.missing_all([owner])[owner]

    def missing_all(self, owners: Sequence[MessageId]) -> dict[MessageId, list[ObjectId]]:
        """Return ``missing`` of many messages."""
        found: dict[MessageId, list[ObjectId]] = {owner: [] for owner in owners}
        for start in range(0, len(owners), MAX_IDS):
            these = {"owners": owners[start : start + MAX_IDS]}
            for owner, part in _MISSING.rows(self._connection, these):
                found[MessageId(owner)].append(ObjectId(part))
        return found

    def put(self, object_id: ObjectId, content: bytes) -> bool:
        """Store the content of an announced object; storing it again changes nothing.

        Returns:
            False if nobody announced it.

        Raises:
            InvalidError: the content does not have this id.
            TooLargeError: it is larger than one object may be.
        """
        require_match(object_id, content)
        state = self.state(object_id)
        if state is not ObjectState.AWAITED:
            return state is ObjectState.PRESENT
        if len(content) > INLINE_OBJECT_BYTES:
            file = self._payloads.write(object_id, content)
            self._fill(object_id, {"size_bytes": len(content), "file": file})
        else:
            self._fill(object_id, {"size_bytes": len(content), "content": content})
        return True

    @property
    def unsettled(self) -> Sequence[str]:
        """Files of large content that this transaction has stored and not made durable."""
        return self._payloads.unsynced

    def adopt(self, files: Sequence[str]) -> None:
        """Answer for files that are durable already: those not taken go with this transaction."""
        self._payloads.adopt(files)

    def take(self, arrived: ArrivedObject) -> bool:
        """Store an announced object that arrived in pieces; False if nobody announced it.

        Its file must be adopted.
        """
        values = {"size_bytes": arrived.size, "content": arrived.content, "file": arrived.file}
        if self._fill(arrived.object_id, values):
            if arrived.file is not None:
                self._payloads.keep(arrived.file)
            return True
        return self.state(arrived.object_id) is ObjectState.PRESENT

    def open(self, object_id: ObjectId, *, suspected: bool = False) -> OpenObject | None:
        """Open the content for reading, None if the object is unknown or still awaited.

        Args:
            object_id: the object.
            suspected: somebody got wrong bytes: hash it even if its file looks untouched.

        Raises:
            ObjectDamagedError: the content is lost or altered; ``forget`` makes it awaited again.
        """
        row = _CONTENT.first(self._connection, {"object_id": object_id})
        if row is None or row.size_bytes is None:
            return None
        if row.file is None:
            return InlineObject(object_id, row.content)
        reader = self._payloads.open(row.file)
        if reader is None:
            raise ObjectDamagedError(object_id, "its file is gone")
        if not reader.has_hash(object_id, suspected=suspected):
            reader.close()
            raise ObjectDamagedError(object_id, "its bytes were altered")
        return reader

    def get(self, object_id: ObjectId, *, suspected: bool = False) -> bytes | None:
        """Return the content, None if the object is unknown or still awaited.

        Raises:
            ObjectDamagedError: as ``open``.
        """
        opened = self.open(object_id, suspected=suspected)
        if opened is None:
            return None
        with closing(opened):
            return opened.read(0, opened.size)

    def forget(self, object_id: ObjectId) -> None:
        """Drop damaged content; the object is awaited again."""
        mine = object_.c.object_id == object_id
        file = self._connection.execute(select(object_.c.file).where(mine)).scalar_one_or_none()
        self._connection.execute(update(object_).where(mine).values(_ABSENT))
        if file is not None:
            self._payloads.remove([file])

    def state(self, object_id: ObjectId) -> ObjectState:
        """Tell what the store has of an object."""
        row = _SIZE.first(self._connection, {"object_id": object_id})
        if row is None:
            return ObjectState.UNKNOWN
        return ObjectState.AWAITED if row.size_bytes is None else ObjectState.PRESENT

    def belongs(self, object_id: ObjectId, *, run_id: RunId) -> bool:
        """Tell whether a message of this run owns the object."""
        asked = {"object_id": object_id, "run_id": run_id}
        return bool(_BELONGS.rows(self._connection, asked)[0][0])

    def belongs_to_node(self, object_id: ObjectId, run_id: RunId, node_id: NodeId) -> bool:
        """Tell whether a message of this run, sent to or by this node, owns the object."""
        asked = {"object_id": object_id, "run_id": run_id, "node_id": node_id}
        return bool(_BELONGS_TO_NODE.rows(self._connection, asked)[0][0])

    def release(self, owner: MessageId) -> None:
        """End the ownership of one message; delete what nobody owns any more."""
        self.release_all([owner])

    def release_all(self, owners: Sequence[MessageId]) -> None:
        """End the ownership of many messages; delete what nobody owns any more."""
        for start in range(0, len(owners), MAX_IDS):
            these = {"ids": owners[start : start + MAX_IDS]}
            self._delete_unowned(_RELEASE.rows(self._connection, these))

    def release_run(self, run_id: RunId) -> None:
        """End the ownership of every message of a run; delete what nobody owns any more."""
        asked = {"of_run": run_id}
        self._delete_unowned(_RELEASE_RUN.rows(self._connection, asked))

    def _delete_unowned(self, freed: Sequence[Row]) -> None:
        ids = list(dict.fromkeys(row.object_id for row in freed))
        for start in range(0, len(ids), MAX_IDS):
            these = {"ids": ids[start : start + MAX_IDS]}
            files = [row.file for row in _DELETE_UNOWNED.rows(self._connection, these)]
            self._payloads.remove([file for file in files if file is not None])

    def _add(self, contents: Mapping[ObjectId, bytes | None], *, durable: bool) -> None:
        """Add objects; those that were announced before get the content that came only now."""
        bare = [_new_row(i, None) for i, content in contents.items() if content is None]
        large = {i: c for i, c in contents.items() if c and len(c) > INLINE_OBJECT_BYTES}
        full = [_new_row(i, c) for i, c in contents.items() if c is not None and i not in large]
        insert_missing(self._connection, object_, bare)
        insert_or_fill(self._connection, object_, full, empty="size_bytes")
        if large:
            self._add_large(large, durable=durable)

    def _add_large(self, contents: Mapping[ObjectId, bytes], *, durable: bool) -> None:
        new = {i: c for i, c in contents.items() if self.state(i) is not ObjectState.PRESENT}
        rows = [
            {
                "object_id": object_id,
                "size_bytes": len(content),
                "content": None,
                "file": self._payloads.write(object_id, content, durable=durable),
            }
            for object_id, content in new.items()
        ]
        insert_or_fill(self._connection, object_, rows, empty="size_bytes")

    def _fill(self, object_id: ObjectId, values: dict[str, Any]) -> bool:
        awaited = (object_.c.object_id == object_id, object_.c.size_bytes.is_(None))
        done = self._connection.execute(update(object_).where(*awaited).values(values))
        return done.rowcount == 1


def _new_row(object_id: ObjectId, content: bytes | None) -> dict[str, Any]:
    size = None if content is None else len(content)
    return {"object_id": object_id, "size_bytes": size, "content": content}


def require_match(object_id: ObjectId, content: bytes) -> None:
    """Check that ``content`` is the object named ``object_id``.

    Raises:
        InvalidError: it has another hash.
        TooLargeError: it is larger than one object may be.
    """
    require_size(object_id, len(content))
    if sha256(content).hexdigest() != object_id:
        raise InvalidError(f"the content does not have the object id {object_id}")
