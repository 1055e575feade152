from datetime import timedelta

import pytest

from flwr.core.errors import FailedPreconditionError, UnavailableError
from flwr.sdk import (
    LinkClosedError,
    RunFailedError,
    RunNotEndedError,
    RunNotFoundError,
    RunStatus,
    RunStoppedError,
    SuperLink,
)
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl, some_run


@pytest.fixture(autouse=True)
def running(control: FakeControl) -> None:
    control.runs[7] = some_run()


@pytest.mark.row("S57", "S59")
def test_a_run_tells_all_that_the_superlink_knows(link: SuperLink, control: FakeControl) -> None:
    info = link.run(7).fetch()

    assert (info.app, info.app_version, info.status) == ("acme/tiny-app", "1.2.3", "running")
    assert (info.bytes_to_nodes, info.bytes_from_nodes) == (3900, 512)
    assert info.clientapp_seconds == 2.5
    assert info.duration is None
    control.runs[7] = some_run(status=RunStatus.COMPLETED)
    assert link.run(7).fetch().duration == timedelta(seconds=90)


@pytest.mark.row("S57")
@pytest.mark.parametrize("end", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED])
def test_waiting_returns_however_the_run_ends(
    link: SuperLink, control: FakeControl, end: RunStatus
) -> None:
    control.ends_as, control.details = end, "why"

    info = link.run(7).wait(timeout=5)

    assert (info.status, info.details, info.is_final) == (end, "why", True)
    assert link.run(7).status is end


@pytest.mark.row("S57")
def test_waiting_reads_no_log(link: SuperLink, control: FakeControl) -> None:
    link.run(7).wait()
    (after,) = [asked for call, asked in control.asked if call == "stream_logs"]
    assert after == 4_102_444_800.0


def test_a_run_that_has_ended_is_not_waited_for(link: SuperLink, control: FakeControl) -> None:
    control.runs[7] = some_run(status=RunStatus.COMPLETED)
    link.run(7).wait(timeout=0)
    assert [call for call, _ in control.asked] == ["list_runs"]


@pytest.mark.row("S57")
def test_waiting_ends_in_time(
    link: SuperLink, control: FakeControl, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "pause", lambda _: None)
    control.breaks_after = [0] * 5
    control.on_call = lambda: clock.advance(timedelta(seconds=3))

    with pytest.raises(RunNotEndedError, match="run 7 has not ended within 5 s") as late:
        link.run(7).wait(timeout=5)

    assert isinstance(late.value, TimeoutError)
    assert clock.monotonic() == pytest.approx(9)  # asked before, then two streams that were lost


@pytest.mark.row("S62")
def test_a_log_is_given_in_lines_over_a_lost_connection(
    link: SuperLink,
    control: FakeControl,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(link, "pause", lambda _: None)
    control.chunks = [("one\ntw", 1.0), ("o\n\x1b[2Jthree", 2.0), (" and more", 3.0)]
    control.breaks_after = [1]

    assert list(link.run(7).logs(follow=True)) == ["one", "two", "three and more"]
    assert caplog.messages == ["Lost the connection to the SuperLink, trying again"]


@pytest.mark.row("S62")
def test_what_is_there_of_a_live_log_is_read_without_following(
    link: SuperLink, control: FakeControl, clock: FakeClock
) -> None:
    control.chunks = [("one\n", 1.0), ("two\n", 2.0)]
    control.breaks_after = [1, 1, 0]
    control.on_call = lambda: clock.advance(timedelta(seconds=1))

    assert list(link.run(7).logs()) == ["one", "two"]
    assert link.run(7).status is RunStatus.RUNNING


def test_a_live_log_that_never_pauses_is_left_at_the_present(
    link: SuperLink, control: FakeControl, clock: FakeClock
) -> None:
    now = clock.now().timestamp()
    control.chunks = [("past\n", now - 1), ("new\n", now + 1), ("newer\n", now + 2)]
    assert list(link.run(7).logs()) == ["past", "new"]


def test_a_superlink_that_does_not_answer_is_no_end_of_a_log(
    link: SuperLink, control: FakeControl
) -> None:
    control.breaks_after = [0]
    with pytest.raises(UnavailableError, match="connection lost"):
        list(link.run(7).logs())


@pytest.mark.row("S59")
@pytest.mark.parametrize("url", [None, "https://hub/artifacts/7"])
def test_a_result_is_what_the_superlink_gives(
    link: SuperLink, control: FakeControl, url: str | None
) -> None:
    control.chunks, control.artifacts = [("accuracy: 0.9\n", 1.0)], url

    result = link.run(7).result()

    assert result.info.status is RunStatus.COMPLETED
    assert (result.log, result.artifacts) == ("accuracy: 0.9\n", url)


@pytest.mark.row("S57")
@pytest.mark.parametrize(
    ("end", "error"), [(RunStatus.FAILED, RunFailedError), (RunStatus.STOPPED, RunStoppedError)]
)
def test_a_run_that_did_not_complete_has_no_result(
    link: SuperLink,
    control: FakeControl,
    end: RunStatus,
    error: type[RunFailedError] | type[RunStoppedError],
) -> None:
    control.ends_as, control.details = end, "out of memory"
    with pytest.raises(error, match=f"run 7 {end}: out of memory") as bad:
        link.run(7).result()
    assert (bad.value.run_id, bad.value.status, bad.value.details) == (7, end, "out of memory")


@pytest.mark.row("S63")
def test_a_run_is_stopped_once(link: SuperLink) -> None:
    run = link.run(7)
    run.stop()
    assert run.status is RunStatus.STOPPED
    with pytest.raises(FailedPreconditionError):
        run.stop()


def test_an_unknown_run_is_told(link: SuperLink) -> None:
    with pytest.raises(RunNotFoundError):
        link.run(8).wait()


def test_closing_the_link_ends_what_waits_on_it(link: SuperLink, control: FakeControl) -> None:
    run = link.run(7)
    control.breaks_after = [0] * 100

    def close_meanwhile() -> None:
        if control.asked[-1][0] == "stream_logs":
            link.close()

    control.on_call = close_meanwhile
    with pytest.raises(LinkClosedError, match="closed") as closed:
        run.wait()
    assert "SuperLink.connect" in closed.value.hint
    with pytest.raises(LinkClosedError):
        run.stop()
    link.close()  # twice is once
