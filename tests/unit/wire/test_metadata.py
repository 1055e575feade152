from datetime import timedelta

import pytest

from flwr.core.ids import RunId
from flwr.wire.metadata import read_heartbeat, read_runs, write_runs


def test_run_ids_are_read_leniently() -> None:
    assert read_runs("1, 22,x,,-3,99999999999999999999999") == [1, 22]
    assert read_runs(None) == []


def test_run_ids_that_were_written_are_read() -> None:
    runs = [RunId(1), RunId(2**64 - 1)]
    assert read_runs(write_runs(runs)) == runs


@pytest.mark.parametrize("said", [None, "", "nonsense", "nan", "inf", "0", "-3", "61"])
def test_an_absurd_announcement_of_a_heartbeat_is_none(said: str | None) -> None:
    assert read_heartbeat(said) is None


def test_an_announced_heartbeat_is_read_in_seconds() -> None:
    assert read_heartbeat("3") == timedelta(seconds=3)
