"""The hatch: files handed to apps of one machine, and objects taken from where they lie."""

import mmap
import socket

import pytest

from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import HATCH_PIECE_BYTES
from flwr.wire.chunks import Source
from flwr.wire.codec.pieces import encode_opening
from flwr.wire.hatch import HEAD, HatchFrame, encode_head
from tests.unit.wire.desk import Desk, id_of
from tests.unit.wire.hatch_daemon import serving

RUN = RunId(7)
LARGE = bytes(range(256)) * 4096 * 3 + b"the end"
OTHER = b"x" * (HATCH_PIECE_BYTES + 1)
SMALL = b"small"


def sources(*contents: bytes) -> dict[ObjectId, Source]:
    return {id_of(one): Source((one[:7], memoryview(one)[7:])) for one in contents}


def test_files_are_handed_over_and_never_read_by_the_daemon() -> None:
    desk = Desk(has=[LARGE, OTHER, SMALL])
    desk.filed_above = len(SMALL)
    with serving(desk) as (_, client):
        came = dict(client.pull(RUN, [id_of(LARGE), id_of(SMALL), id_of(OTHER)]))
    assert {key: bytes(content) for key, content in came.items()} == {
        id_of(one): one for one in (LARGE, SMALL, OTHER)
    }
    mapped = came[id_of(LARGE)]
    assert isinstance(mapped, memoryview)
    assert isinstance(mapped.obj, mmap.mmap)
    assert mapped.readonly
    assert [one.longest for one in desk.opened] == [0, len(SMALL), 0]
    assert all(one.is_closed for one in desk.opened)


def test_content_without_a_file_comes_in_pieces() -> None:
    with serving(Desk(has=[LARGE])) as (_, client):
        assert dict(client.pull(RUN, [id_of(LARGE)])) == {id_of(LARGE): LARGE}


def test_what_is_not_there_yet_is_left_to_the_other_way() -> None:
    desk = Desk(has=[SMALL], wanted=[id_of(OTHER)])
    with serving(desk) as (_, client):
        came = dict(client.pull(RUN, [id_of(LARGE), id_of(OTHER), id_of(SMALL)]))
    assert came == {id_of(SMALL): SMALL}


def test_objects_are_taken_in_pieces_and_answered_when_they_are_kept() -> None:
    objects = sources(LARGE, OTHER, SMALL)
    desk = Desk(wanted=[id_of(OTHER), id_of(SMALL)])
    with serving(desk) as (_, client):
        answered = client.push(RUN, list(objects), objects)
    assert answered == {id_of(LARGE): False, id_of(OTHER): True, id_of(SMALL): True}
    assert desk.kept == {id_of(OTHER): OTHER, id_of(SMALL): SMALL}
    assert max(one.longest for one in desk.begun) == HATCH_PIECE_BYTES


def test_many_files_need_few_descriptors_at_a_time() -> None:
    contents = [b"%06d" % number for number in range(2_000)]
    desk = Desk(has=contents)
    desk.filed_above = 0
    with serving(desk) as (_, client):
        came = [bytes(content) for _, content in client.pull(RUN, list(map(id_of, contents)))]
    assert came == contents


def test_a_ticket_is_good_once() -> None:
    desk = Desk(has=[SMALL])
    with serving(desk) as (daemon, client):
        used = daemon.invite()
        daemon.invite = lambda: used  # type: ignore[method-assign]
        assert dict(client.pull(RUN, [id_of(SMALL)])) == {id_of(SMALL): SMALL}
        assert dict(client.pull(RUN, [id_of(SMALL)])) == {}
    assert desk.admitted == 1


@pytest.mark.parametrize(
    "said",
    [
        b"nothing that is a frame",
        encode_head(HatchFrame.PULL, 2**31 - 1),
        encode_head(HatchFrame.END, 0),
    ],
)
def test_nonsense_is_answered_with_a_failure(said: bytes) -> None:
    with serving(Desk()) as (daemon, _), socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(daemon.invite().address)
        sock.sendall(said)
        assert HEAD.unpack(sock.recv(HEAD.size))[1] == HatchFrame.FAILURE


def test_an_app_that_dies_while_it_sends_leaves_nothing() -> None:
    desk = Desk(wanted=[id_of(LARGE)])
    with serving(desk) as (daemon, client):
        invitation = daemon.invite()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(invitation.address)
            opening = invitation.ticket + encode_opening(NodeId(5), RUN, [id_of(LARGE)])
            sock.sendall(encode_head(HatchFrame.PUSH, len(opening)) + opening)
            sock.sendall(encode_head(HatchFrame.PIECE, HATCH_PIECE_BYTES) + b"the beginning")
        objects = sources(LARGE)
        assert client.push(RUN, list(objects), objects) == {id_of(LARGE): True}
    assert desk.kept == {id_of(LARGE): LARGE}


def test_a_daemon_without_a_hatch_is_asked_once() -> None:
    with serving(Desk(has=[SMALL])) as (daemon, client):
        daemon.offers = False
        assert dict(client.pull(RUN, [id_of(SMALL)])) == {}
        assert client.push(RUN, list(sources(SMALL)), sources(SMALL)) == {}
        assert daemon.asked == 1


def test_a_hatch_on_another_machine_is_tried_once() -> None:
    with serving(Desk(has=[SMALL])) as (daemon, client):
        daemon.stop_serving()
        assert dict(client.pull(RUN, [id_of(SMALL)])) == {}
        assert dict(client.pull(RUN, [id_of(SMALL)])) == {}
        assert daemon.asked == 1


@pytest.mark.parametrize("lead", [1, 4_077])
def test_content_may_begin_anywhere_in_a_file(lead: int) -> None:
    desk = Desk(has=[LARGE, OTHER])
    desk.filed_above, desk.lead = 0, lead
    with serving(desk) as (_, client):
        came = dict(client.pull(RUN, [id_of(LARGE), id_of(OTHER)]))
    assert {key: bytes(content) for key, content in came.items()} == {
        id_of(one): one for one in (LARGE, OTHER)
    }
    assert [one.longest for one in desk.opened] == [0, 0]


@pytest.mark.parametrize("told", [0, 3_999, 4_001, 2**63])
def test_a_file_that_is_not_as_long_as_was_said_is_left_to_the_other_way(told: int) -> None:
    """As one from a daemon that lays files out in a way that this app does not know."""
    desk = Desk(has=[LARGE])
    desk.filed_above, desk.lead, desk.told_lead = 0, 4_000, told
    with serving(desk) as (_, client):
        assert dict(client.pull(RUN, [id_of(LARGE)])) == {}
    assert desk.opened[0].is_closed
