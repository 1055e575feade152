import pytest

from flwr.cli.environment import Environment
from flwr.control.follow import Follower
from flwr.core.errors import UnavailableError
from flwr.core.ids import RunId
from tests.fakes.control import FakeControl, some_run


def follow(environment: Environment, control: FakeControl) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    losses: list[str] = []
    follower = Follower(
        control,
        clock=environment.clock,
        pause=environment.pause,
        on_loss=lambda: losses.append("lost"),
    )
    follower.until_end(RunId(7), emit=lines.append)
    return lines, losses


@pytest.mark.row("S62")
def test_a_stream_that_broke_after_its_first_chunk_is_taken_up_again(
    environment: Environment, control: FakeControl
) -> None:
    control.runs[7] = some_run()
    control.chunks = [("one\n", 1.0), ("two\n", 2.0), ("three\n", 3.0)]
    control.breaks_after = [1]
    control.failures = [None, UnavailableError("refused"), UnavailableError("refused")]

    lines, losses = follow(environment, control)

    assert lines == ["one\n", "two\n", "three\n"]
    assert losses == ["lost"]


def test_a_server_that_never_answered_is_not_waited_for(
    environment: Environment, control: FakeControl
) -> None:
    control.runs[7] = some_run()
    control.failures = [UnavailableError("refused")]

    with pytest.raises(UnavailableError):
        follow(environment, control)
