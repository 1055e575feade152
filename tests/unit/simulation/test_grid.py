import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.core.errors import InvalidError
from flwr.core.ids import is_object_id
from flwr.core.message import ErrorCode
from flwr.simulation.backend import Answer, Lost
from flwr.simulation.grid import InMemoryGrid
from flwr.simulation.packing import unpack
from flwr.simulation.partitions import VirtualNodes
from tests.harness.program import eventually
from tests.unit.simulation.given import AnsweringOne, NotingBackend, Simulated


@pytest.fixture
def simulated() -> Simulated:
    return Simulated()


def test_a_reply_has_the_metadata_of_a_deployment(simulated: Simulated) -> None:
    asked = simulated.message(1)
    (message_id,) = simulated.grid.push_messages([asked])
    assert (asked.metadata.message_id, asked.metadata.src_node_id) == (message_id, 1)
    simulated.backend.answer(simulated.backend.jobs[0])
    (reply,) = simulated.grid.pull_messages([message_id])
    told = reply.metadata
    assert (told.run_id, told.src_node_id, told.dst_node_id) == (77, simulated.nodes.ids[1], 1)
    assert (told.reply_to_message_id, told.message_type, told.group_id) == (
        message_id,
        "train",
        "7",
    )
    assert is_object_id(told.message_id)
    assert told.message_id != message_id


def test_replies_are_handed_out_once_and_then_unknown(simulated: Simulated) -> None:
    (message_id,) = simulated.grid.push_messages([simulated.message()])
    assert simulated.grid.pull_messages([message_id]) == []
    simulated.backend.answer(simulated.backend.jobs[0])
    (reply,) = simulated.grid.pull_messages([message_id])
    assert reply.has_content()
    (again,) = simulated.grid.pull_messages([message_id])
    assert again.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert (again.metadata.message_type, again.metadata.run_id) == ("system", 0)
    assert again.metadata.reply_to_message_id == message_id


def test_replies_come_in_the_order_of_the_instructions(simulated: Simulated) -> None:
    grid, backend = simulated.grid, simulated.backend
    asked = [simulated.message(part, text=str(part)) for part in (2, 0, 1)]
    with ThreadPoolExecutor(1) as pool:
        replies = pool.submit(grid.send_and_receive, asked)
        eventually(lambda: len(backend.jobs) == len(asked), timeout=60)
        for job in sorted(backend.jobs, key=lambda job: job.partition):
            backend.answer(job)
        texts = [reply.content["config"]["text"] for reply in replies.result(60)]
    assert texts == ["2", "0", "1"]


def test_a_message_to_an_unknown_node_is_refused(simulated: Simulated) -> None:
    stray = Message(RecordDict(), 12345, "train")
    ids = list(simulated.grid.push_messages([stray, simulated.message()]))
    assert ids[0] == ""
    assert ids[1]
    assert len(simulated.backend.jobs) == 1
    assert simulated.grid.send_and_receive([Message(RecordDict(), 12345, "train")]) == []


def test_a_node_works_on_one_message_at_a_time_and_keeps_its_state(simulated: Simulated) -> None:
    grid, backend = simulated.grid, simulated.backend
    grid.push_messages([simulated.message(0), simulated.message(0), simulated.message(1)])
    assert [job.partition for job in backend.jobs] == [0, 1]
    state = RecordDict({"counter": ConfigRecord({"n": 1})})
    backend.answer(backend.jobs[0], state=state)
    assert [job.partition for job in backend.jobs] == [1, 0]
    kept = backend.jobs[1].state
    assert kept is not None
    assert pickle.loads(kept) == state  # noqa: S301  # made by this test
    assert backend.jobs[0].state is None


def test_a_failed_message_leaves_the_state_as_it_was(simulated: Simulated) -> None:
    grid, backend = simulated.grid, simulated.backend
    grid.push_messages([simulated.message() for _ in range(3)])
    backend.answer(backend.jobs[0], state=RecordDict({"a": ConfigRecord()}))
    before = backend.jobs[0].state
    backend.fail(backend.jobs[0], Answer(Error(ErrorCode.CLIENT_APP_CRASHED, "gone")))
    assert backend.jobs[0].state == before is not None


@pytest.mark.row("S75")
def test_a_message_whose_worker_is_lost_is_tried_once_more(simulated: Simulated) -> None:
    grid, backend = simulated.grid, simulated.backend
    grid.push_messages([simulated.message(), simulated.message()])
    backend.fail(backend.jobs[0], Answer(Lost("was killed by SIGKILL")))
    (again,) = backend.jobs
    backend.fail(again, Answer(Lost("was killed by SIGKILL")))
    (following,) = backend.jobs
    assert following is not again
    (reply,) = grid.pull_messages([again.metadata.message_id])
    assert reply.error == Error(ErrorCode.CLIENT_APP_CRASHED, "ClientApp was killed by SIGKILL")
    assert (grid.tally.answered, grid.tally.failed) == (1, 1)


def test_a_message_lost_after_its_life_is_not_tried_again(simulated: Simulated) -> None:
    simulated.grid.push_messages([simulated.message(ttl=5.0)])
    simulated.advance(6)
    simulated.backend.fail(simulated.backend.jobs[0], Answer(Lost("was stopped")))
    assert simulated.backend.jobs == []


def test_a_reply_whose_state_cannot_be_kept_is_an_error(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.simulation.states.MAX_STATE_BYTES", 10)
    grid, backend = simulated.grid, simulated.backend
    (message_id, _) = grid.push_messages([simulated.message(), simulated.message()])
    backend.answer(backend.jobs[0], state=RecordDict({"a": ConfigRecord()}))
    (reply,) = grid.pull_messages([message_id])
    assert "cannot be kept" in str(reply.error.reason)
    assert backend.jobs[0].state is None


def test_a_content_many_messages_share_is_encoded_once(simulated: Simulated) -> None:
    config = ConfigRecord({"round": 1})
    content = RecordDict({"config": config})
    messages = [Message(content, node_id, "train") for node_id in simulated.nodes.ids]
    for message in messages:
        message.metadata.created_at = simulated.clock.now().timestamp()
    simulated.grid.push_messages(messages)
    config["round"] = 2  # strategies reuse their records
    first, *others = (job.content for job in simulated.backend.jobs)
    assert all(other is first for other in others)
    assert unpack(first)["config"]["round"] == 1


def test_a_lost_worker_becomes_an_error_reply_of_its_node(simulated: Simulated) -> None:
    (message_id,) = simulated.grid.push_messages([simulated.message(2)])
    failure = Error(ErrorCode.CLIENT_APP_CRASHED, "ClientApp was killed by SIGKILL")
    simulated.backend.fail(simulated.backend.jobs[0], Answer(failure))
    (reply,) = simulated.grid.pull_messages([message_id])
    assert reply.error == failure
    assert reply.metadata.src_node_id == simulated.nodes.ids[2]
    assert (simulated.grid.tally.answered, simulated.grid.tally.failed) == (1, 1)


def test_an_instruction_nobody_answers_in_its_life_is_unavailable(simulated: Simulated) -> None:
    (message_id,) = simulated.grid.push_messages([simulated.message(ttl=10)])
    simulated.advance(10)
    (reply,) = simulated.grid.pull_messages([message_id])
    assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    simulated.backend.answer(simulated.backend.jobs[0])  # too late: nobody may see it
    assert simulated.grid.tally.answered == 1


def test_a_reply_that_comes_after_its_life_is_an_error(simulated: Simulated) -> None:
    (message_id,) = simulated.grid.push_messages([simulated.message(ttl=10)])
    simulated.advance(11)
    simulated.backend.answer(simulated.backend.jobs[0])
    (reply,) = simulated.grid.pull_messages([message_id])
    assert reply.error.code == ErrorCode.REPLY_MESSAGE_UNAVAILABLE
    assert reply.metadata.src_node_id == 1


def test_replies_nobody_asks_for_do_not_pile_up_with_their_content(simulated: Simulated) -> None:
    (message_id,) = simulated.grid.push_messages([simulated.message(ttl=10)])
    simulated.backend.answer(simulated.backend.jobs[0])
    simulated.advance(10)
    (reply,) = simulated.grid.pull_messages([message_id])
    assert reply.error.code == ErrorCode.REPLY_MESSAGE_UNAVAILABLE


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [("created_at", 0.0, "28 Feb 2025"), ("ttl", 0.0, "ttl must be positive")],
)
def test_a_malformed_message_is_refused_as_by_a_superlink(
    simulated: Simulated, field: str, value: float, why: str
) -> None:
    message = simulated.message()
    setattr(message.metadata, field, value)
    with pytest.raises(InvalidError, match=why):
        simulated.grid.push_messages([simulated.message(), message])
    assert simulated.backend.jobs == []


def test_what_is_unanswered_at_the_timeout_is_missing() -> None:
    parts = Simulated()
    backend = AnsweringOne(0)
    grid = InMemoryGrid(parts.run, parts.nodes, backend)  # with the system's clock
    messages = [Message(RecordDict(), node_id, "train") for node_id in parts.nodes.ids]
    started = time.monotonic()
    replies = list(grid.send_and_receive(messages, timeout=0.4))
    assert time.monotonic() - started > 0.3
    assert [reply.metadata.src_node_id for reply in replies] == [parts.nodes.ids[0]]


def test_a_reply_wakes_the_serverapp_at_once() -> None:
    parts = Simulated()
    backend = NotingBackend()
    grid = InMemoryGrid(parts.run, parts.nodes, backend)
    timer = threading.Timer(0.1, lambda: backend.answer(backend.jobs[0]))
    timer.start()
    started = time.monotonic()
    replies = list(grid.send_and_receive([Message(RecordDict(), parts.nodes.ids[0], "train")]))
    assert len(replies) == 1
    assert time.monotonic() - started < 30
    timer.join()


def test_set_run_takes_only_a_run(simulated: Simulated) -> None:
    with pytest.raises(TypeError, match="set_run"):
        simulated.grid.set_run(7)  # type: ignore[arg-type]
    assert simulated.grid.run == simulated.run
    assert simulated.grid.run is not simulated.run


def answer_in_turn(backend: NotingBackend, stop: threading.Event, peaks: list[int]) -> None:
    """Answer jobs, the youngest of those there first, and note how many were out."""
    while not stop.is_set():
        if backend.jobs:
            peaks.append(len(backend.jobs))
            backend.answer(backend.jobs[-1])
        else:
            time.sleep(0.001)


def test_a_stream_gives_replies_in_order_and_sends_no_more_than_fits(
    simulated: Simulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.simulation.grid._KEPT_BYTES", 800_000)
    nodes = VirtualNodes(100)
    backend, stop, peaks = NotingBackend(), threading.Event(), list[int]()
    grid = InMemoryGrid(simulated.run, nodes, backend)
    content = RecordDict({"arrays": ArrayRecord([np.zeros(100_000, np.uint8)])})
    answering = threading.Thread(target=answer_in_turn, args=(backend, stop, peaks))
    answering.start()
    try:
        replies = grid.stream([Message(content, node_id, "train") for node_id in nodes.ids])
        assert not isinstance(replies, list)
        assert [reply.metadata.src_node_id for reply in replies] == nodes.ids
    finally:
        stop.set()
        answering.join()
    assert max(peaks) <= 8
    assert len(peaks) == 100


def test_a_stream_ends_at_the_timeout_with_what_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts = Simulated()
    backend = AnsweringOne(-1)
    grid = InMemoryGrid(parts.run, parts.nodes, backend)  # with the system's clock
    messages = [Message(RecordDict(), node_id, "train") for node_id in parts.nodes.ids]
    monkeypatch.setattr("flwr.simulation.grid._KEPT_BYTES", 0)
    replies = list(grid.stream(messages, timeout=0.4))
    assert [reply.metadata.src_node_id for reply in replies] == [parts.nodes.ids[-1]]
