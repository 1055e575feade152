import pytest

from flwr.core.ids import NodeId
from tests.unit.supernode.given import NODE, RUN, Site, scenario


@pytest.mark.row("F4")
def test_only_a_state_that_was_in_use_before_keeps_what_was_confirmed() -> None:
    async def body() -> None:
        site = Site()
        site.connect()

        await site.session.connect()  # a known key, perhaps, on an empty disk
        await site.session.connect()

        assert site.fleet.remembered == [False, True]

    scenario(body)


def test_work_of_an_id_the_node_no_longer_has_is_forgotten() -> None:
    site = Site()
    site.membership.adopt(NODE)
    site.take_in()
    site.membership.adopt(NODE)
    assert site.runs.live() == [RUN]

    site.membership.adopt(NodeId(78))

    assert site.runs.live() == []
