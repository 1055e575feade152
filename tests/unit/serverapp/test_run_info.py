import pytest

from flwr.core.run import RunStatus
from flwr.serverapp.run_info import describe
from tests import given


def test_a_running_run_as_the_app_sees_it() -> None:
    run = given.running_run(override_config={"lr": 0.1}, bytes_sent=5)

    info = describe(run)

    assert (info.run_id, info.fab_id, info.override_config) == (run.run_id, run.fab_id, {"lr": 0.1})
    assert (info.status.status, info.status.sub_status) == ("running", "")
    assert (info.running_at, info.finished_at) == ("2026-03-01T12:00:00+00:00", "")
    assert (info.bytes_sent, info.run_type) == (5, "serverapp")


@pytest.mark.parametrize("outcome", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED])
def test_a_finished_run_tells_how_it_ended(outcome: RunStatus) -> None:
    status = describe(given.run(status=outcome, finished_at=given.NOW, details="why")).status

    assert (status.status, status.sub_status, status.details) == ("finished", outcome, "why")
