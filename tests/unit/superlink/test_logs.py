import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.core.ids import RunId
from flwr.core.limits import MAX_LOG_CHUNK_BYTES
from flwr.core.run import RunNotRunningError
from flwr.superlink import topics
from tests.unit.superlink.federation import Link


def read_on(link: Link, run_id: RunId, after: float) -> tuple[str, float]:
    page = link.logs.read(NO_LOGIN, run_id, after)
    stamp = page.chunks[-1].stamp if page.chunks else after
    return "".join(chunk.text for chunk in page.chunks), stamp


@pytest.mark.row("S62")
def test_a_reader_resumes_exactly_where_it_stopped(link: Link) -> None:
    run, _ = link.running()
    link.logs.append(run.run_id, ["a", "", "b\n"])
    link.logs.append(run.run_id, ["c\n"])  # the same instant
    assert topics.log(run.run_id) in link.rung

    text, stamp = read_on(link, run.run_id, 0.0)
    assert text == "ab\nc\n"
    assert read_on(link, run.run_id, stamp) == ("", stamp)
    link.logs.append(run.run_id, ["d"])
    assert read_on(link, run.run_id, stamp)[0] == "d"


def test_a_log_is_complete_once_its_run_has_ended(link: Link) -> None:
    run, _ = link.running()
    link.logs.append(run.run_id, ["x"])
    assert not link.logs.read(NO_LOGIN, run.run_id, 0.0).is_last
    link.runs.stop(NO_LOGIN, run.run_id)
    page = link.logs.read(NO_LOGIN, run.run_id, 0.0)
    assert page.is_last
    assert [chunk.text for chunk in page.chunks] == ["x"]


def test_a_long_text_is_cut_into_chunks_and_nothing_is_lost(link: Link) -> None:
    run, _ = link.running()
    text = "äb" * MAX_LOG_CHUNK_BYTES
    link.logs.append(run.run_id, [text])
    page = link.logs.read(NO_LOGIN, run.run_id, 0.0)
    assert "".join(chunk.text for chunk in page.chunks) == text
    assert max(len(chunk.text.encode()) for chunk in page.chunks) <= MAX_LOG_CHUNK_BYTES


def test_an_empty_upload_leaves_nothing(link: Link) -> None:
    run, _ = link.running()
    link.logs.append(run.run_id, ["", ""])
    assert read_on(link, run.run_id, 0.0) == ("", 0.0)


@pytest.mark.row("S62")
def test_lines_shared_by_a_node_are_marked_with_it(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    link.logs.append_from_node(node.node_id, run.run_id, ["one\ntw", "o\n"])
    mark = f"[node {node.node_id}] "
    assert read_on(link, run.run_id, 0.0)[0] == f"{mark}one\n{mark}two\n"
    with pytest.raises(RunNotRunningError):
        link.logs.append_from_node(node.node_id, RunId(3), ["x"])
