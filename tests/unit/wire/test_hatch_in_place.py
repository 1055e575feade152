"""A large model that comes by the hatch is not copied, and what an app writes is nobody else's."""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.app.array import parts_of
from flwr.core.ids import ObjectId, RunId
from flwr.core.limits import PIECE_BYTES
from flwr.store.payloads import PayloadReader, Payloads
from flwr.wire.bulk import Readable
from flwr.wire.clients.hatch import HatchClient
from flwr.wire.codec.pieces import Absence, Wanted
from flwr.wire.objects import DeflatedMessage, deflate, inflate
from tests.unit.wire.desk import Desk
from tests.unit.wire.hatch_daemon import serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no hatch")

RUN = RunId(7)
MODEL = np.random.default_rng(3).random(3_000_000, np.float32)  # 12 MB: three chunks


class Store(Desk):
    """Hands out payload files, as a daemon's store does."""

    def __init__(self, payloads: Payloads, sent: DeflatedMessage) -> None:
        super().__init__()
        self.payloads, self.names = payloads, dict[ObjectId, str]()
        for object_id, source in sent.objects.items():
            content = source.make()
            writer = payloads.begin(object_id, len(content))
            for start in range(0, len(content), PIECE_BYTES):
                writer.write(content[start : start + PIECE_BYTES])
            self.names[object_id] = writer.finish()

    def reader(self, object_id: ObjectId) -> PayloadReader:
        reader = self.payloads.open(self.names[object_id])
        assert reader is not None
        return reader

    async def open(self, wanted: Wanted) -> Readable | Absence:
        return self.reader(wanted.object_id)


@pytest.fixture
def sent() -> DeflatedMessage:
    content = RecordDict({"arrays": ArrayRecord([MODEL])})
    return deflate(Message(content, dst_node_id=3, message_type="train"))


@pytest.fixture
def place(tmp_path: Path, sent: DeflatedMessage) -> Store:
    return Store(Payloads(tmp_path / "objects"), sent)


@pytest.fixture
def client(place: Store) -> Iterator[HatchClient]:
    with serving(place) as (_, client):
        yield client


def received(client: HatchClient, sent: DeflatedMessage) -> Array:
    came = dict(client.pull(RUN, list(sent.objects)))
    message = inflate(sent.envelope, sent.tree, came.__getitem__, is_verified=True)
    return message.content.array_records["arrays"]["0"]


def in_place(directory: Path) -> int:
    """Return how many ranges of files in ``directory`` this process may write to."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return sum(f"{directory}/" in line and " rw-p " in line for line in lines)


def test_nothing_an_app_writes_is_seen_by_the_next(
    client: HatchClient, sent: DeflatedMessage, place: Store, tmp_path: Path
) -> None:
    first = received(client, sent)
    model = first.numpy()
    assert in_place(tmp_path) == len(parts_of(first)) == 3
    model += 1

    assert np.array_equal(first.numpy(), MODEL)
    assert np.array_equal(received(client, sent).numpy(), MODEL)
    for object_id in sent.objects:
        with closing(place.reader(object_id)) as reader:
            assert reader.has_hash(object_id, suspected=True)
    assert np.array_equal(model, MODEL + 1)
    del first, model
    assert in_place(tmp_path) == 0


def test_a_removed_file_is_there_until_the_array_is_gone(
    client: HatchClient, sent: DeflatedMessage, place: Store
) -> None:
    model = received(client, sent).numpy()
    place.payloads.remove(list(place.names.values()))
    place.payloads.close()
    assert list(place.payloads.names()) == []
    assert np.array_equal(model, MODEL)


def test_what_an_app_sends_of_it_is_what_it_wrote(
    client: HatchClient, sent: DeflatedMessage, place: Store
) -> None:
    model = received(client, sent).numpy()
    model[:10] = 5
    reply = Message(
        RecordDict({"arrays": ArrayRecord([model])}), dst_node_id=3, message_type="train"
    )
    deflated = deflate(reply)
    place.wanted = set(deflated.objects)

    answered = client.push(RUN, list(deflated.objects), deflated.objects)

    assert set(answered.values()) == {True}
    assert all(hashlib.sha256(place.kept[one]).hexdigest() == one for one in deflated.objects)
    back = inflate(deflated.envelope, deflated.tree, place.kept.__getitem__)
    expected = MODEL.copy()
    expected[:10] = 5
    assert np.array_equal(back.content.array_records["arrays"]["0"].numpy(), expected)
