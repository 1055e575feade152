import threading
from collections.abc import Callable

import pytest

from flwr.core.ids import ObjectId
from flwr.runner.transfer import Transfers

IDS = [ObjectId(f"{n:064x}") for n in range(20)]


def test_only_wanted_objects_are_made_and_sent() -> None:
    made: list[ObjectId] = []
    sent: dict[ObjectId, bytes] = {}

    def maker(object_id: ObjectId) -> Callable[[], bytes]:
        def make() -> bytes:
            made.append(object_id)
            return object_id.encode()

        return make

    elsewhere = ObjectId("f" * 64)
    Transfers().push(
        [*IDS[:5], elsewhere], {i: maker(i) for i in IDS}, lambda i, data: sent.update({i: data})
    )

    assert sorted(made) == IDS[:5]
    assert sent == {i: i.encode() for i in IDS[:5]}


def test_a_failed_transfer_ends_the_push() -> None:
    def put(object_id: ObjectId, content: bytes) -> None:
        raise ConnectionError("gone")

    with pytest.raises(ConnectionError):
        Transfers().push(IDS, dict.fromkeys(IDS, bytes), put)


def test_objects_are_fetched_once_in_order_and_only_a_few_ahead() -> None:
    fetched: list[ObjectId] = []
    lock = threading.Lock()

    def fetch(object_id: ObjectId) -> bytes:
        with lock:
            fetched.append(object_id)
        return object_id.encode()

    get = Transfers(parallel=3).ahead(IDS, fetch)
    for position, object_id in enumerate(IDS):
        assert get(object_id) == object_id.encode()
        assert len(fetched) <= position + 3
    assert sorted(fetched) == IDS
