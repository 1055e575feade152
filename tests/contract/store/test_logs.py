from datetime import timedelta
from itertools import pairwise

import pytest

from flwr.core.ids import RunId
from flwr.store.logs import Logs
from flwr.store.store import Store
from tests import given

RUN = RunId(2**64 - 1)


def test_stamps_increase_even_if_the_clock_does_not(store: Store) -> None:
    with store.transaction() as tx:
        stamps = [tx.logs.append(RUN, f"line {n}", at=given.NOW) for n in range(5)]
        stamps.append(tx.logs.append(RUN, "line 5", at=given.NOW - timedelta(hours=1)))
        stamps.append(tx.logs.append(RUN, "line 6", at=given.NOW + timedelta(hours=1)))
    assert stamps[0] == given.NOW.timestamp()
    assert all(b - a > 1.5e-6 for a, b in pairwise(stamps))
    with store.reading() as tx:
        chunks = tx.logs.after(RUN, 0.0, 100)
        assert [c.text for c in chunks] == [f"line {n}" for n in range(7)]
        assert [c.stamp for c in chunks] == stamps
        for n, stamp in enumerate(stamps):  # a stamp is a cursor: nothing twice, nothing missed
            assert tx.logs.after(RUN, stamp, 100) == chunks[n + 1 :]
        assert tx.logs.after(RUN, 0.0, 2) == chunks[:2]


def test_two_runs_may_log_at_the_same_instant(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.logs.append(RUN, "a", at=given.NOW) == tx.logs.append(
            RunId(1),
            "b",
            at=given.NOW,
        )
        assert [c.text for c in tx.logs.after(RunId(1), 0.0, 9)] == ["b"]


def test_text_no_database_can_hold_is_replaced(store: Store) -> None:
    with store.transaction() as tx:
        tx.logs.append(RUN, "a\0b\udc80ü", at=given.NOW)
        assert tx.logs.after(RUN, 0.0, 9)[0].text == "a\ufffdb?ü"


@pytest.mark.row("F36")
def test_beyond_its_limit_a_run_gets_one_note_and_the_rest_is_dropped(store: Store) -> None:
    with store.transaction() as tx:
        logs = Logs(tx.logs._connection, limit_bytes=10)
        logs.append(RUN, "12345678", at=given.NOW)
        assert logs.size(RUN) == 8
        cut = logs.append(RUN, "9üx", at=given.NOW)  # ü would be half in, half out
        assert logs.append(RUN, "more", at=given.NOW) == cut
        chunks = logs.after(RUN, 0.0, 9)
        assert len(chunks) == 2
        assert chunks[1].text.startswith("9\n[flwr] The log limit")
        assert logs.size(RUN) == 9
        assert logs.size(RunId(1)) == 0
