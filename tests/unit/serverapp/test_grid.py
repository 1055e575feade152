import pytest

from flwr.app import Error, Message, RecordDict
from tests.unit.serverapp.fake_grid import FakeGrid


def to_all(grid: FakeGrid) -> list[Message]:
    return [Message(RecordDict(), node, "query") for node in grid.nodes]


def echo(message: Message) -> Message:
    return Message(message.content, reply_to=message)


def test_all_replies_are_collected_in_a_list_without_a_pause() -> None:
    grid = FakeGrid(3, echo)

    replies = grid.send_and_receive(to_all(grid))

    assert isinstance(replies, list)
    assert [reply.metadata.src_node_id for reply in replies] == [101, 102, 103]
    assert grid.pauses == []


def test_errors_are_replies_too() -> None:
    grid = FakeGrid(1, lambda message: Message(Error(5), reply_to=message))

    (reply,) = grid.send_and_receive(to_all(grid), timeout=10)

    assert reply.error.code == 5


def test_what_is_not_answered_in_time_is_missing() -> None:
    grid = FakeGrid(2, lambda m: echo(m) if m.metadata.dst_node_id == 101 else None)

    replies = list(grid.send_and_receive(to_all(grid), timeout=3))

    assert [reply.metadata.src_node_id for reply in replies] == [101]
    assert grid.clock.monotonic() == pytest.approx(3, abs=1e-5)
    assert grid.pauses[0] == 0.05
    assert max(grid.pauses) <= 1


def test_a_reply_that_comes_later_is_waited_for() -> None:
    grid = FakeGrid(1, lambda _: None)

    def arrive() -> None:
        if len(grid.pauses) == 4:
            grid.answer = echo

    grid.on_pause = arrive

    assert len(list(grid.send_and_receive(to_all(grid)))) == 1
    assert len(grid.pauses) == 4


def test_a_refused_message_is_not_waited_for() -> None:
    grid = FakeGrid(1, echo)

    assert grid.send_and_receive([Message(RecordDict(), 999, "query")]) == []


def test_create_message_is_deprecated_and_works() -> None:
    with pytest.warns(DeprecationWarning, match="Message"):
        message = FakeGrid(1, echo).create_message(RecordDict(), "train", 101, "g", ttl=5)

    assert (message.metadata.group_id, message.metadata.ttl) == ("g", 5)
