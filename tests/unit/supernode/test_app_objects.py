import pytest

from flwr.core.ids import ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES
from tests.unit.supernode import given
from tests.unit.supernode.given import OTHER_RUN, Site


@pytest.mark.row("S40", "F23")
def test_objects_of_another_run_do_not_exist_for_an_app() -> None:
    site = Site()
    site.take_in()
    foreign = site.take_in(OTHER_RUN, text="secret")
    _, lease = site.launch()

    assert not site.apps.objects.get(lease, ObjectId(foreign.message_id)).is_known


def test_an_object_nobody_announced_is_not_kept() -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    sent = given.reply(asked.delivery.envelope, site.clock)
    for object_id, content in sent.contents.items():
        if object_id not in asked.contents:
            assert not site.apps.objects.put(lease, object_id, content)


@pytest.mark.parametrize("size", [10, INLINE_OBJECT_BYTES + 1])
def test_objects_under_way_when_their_run_ends_are_answered_as_if_they_counted(size: int) -> None:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    site.apps.message(lease)
    sent = given.reply(asked.delivery.envelope, site.clock, payload=bytes(size))
    _, missing = site.apps.accept_reply(lease, sent.delivery)
    chunk = max(missing, key=lambda object_id: len(sent.contents[object_id]))
    content = sent.contents[chunk]
    begun = site.apps.objects.begin(lease, chunk, len(content))
    site.runs.end([given.RUN], why="stopped")

    for arriving in (begun, site.apps.objects.begin(lease, chunk, len(content))):
        assert arriving is not None
        arriving.write(content)
        arriving.finish()
        assert site.apps.objects.keep(lease, [arriving]) == [True]
    assert site.apps.objects.put(lease, chunk, content)

    with site.store.reading() as tx:
        assert tx.objects.get(chunk) is None
