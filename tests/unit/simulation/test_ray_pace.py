import pytest

from flwr.simulation.ray_pace import BATCH_S, MAX_BATCH, Pace


def test_the_first_job_of_a_run_goes_alone() -> None:
    pace = Pace(workers=2)
    assert pace.batch_size(1000) == 1
    assert pace.ahead == 1


def test_slow_clients_go_alone_and_nobody_waits_behind_them() -> None:
    pace = Pace(workers=2)
    pace.note(jobs=1, work_s=30.0)
    assert pace.batch_size(1000) == 1
    assert pace.ahead == 1


@pytest.mark.parametrize(
    ("job_s", "waiting", "size"),
    [
        (0.01, 1000, 10),  # as many as fill a batch's time
        (0.00001, 10_000, MAX_BATCH),
        (0.00001, 100, 25),  # a quarter: two batches for each of two workers
        (0.00001, 3, 1),
        (0.00001, 0, 1),
    ],
)
def test_fast_clients_go_together(job_s: float, waiting: int, size: int) -> None:
    pace = Pace(workers=2)
    pace.note(jobs=10, work_s=10 * job_s)
    assert pace.batch_size(waiting) == size
    assert pace.ahead == 2


def test_a_slow_first_message_is_soon_forgotten() -> None:
    pace = Pace(workers=1)
    pace.note(jobs=1, work_s=5.0)  # the app has loaded its data
    for _ in range(10):
        pace.note(jobs=1, work_s=0.001)
    assert pace.batch_size(1000) >= BATCH_S / 0.01
