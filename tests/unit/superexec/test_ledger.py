import pytest

from flwr.core.capacity import AppNeeds, Machine
from flwr.superexec.ledger import Ledger

MACHINE = Machine(cpus=2, gpus=2, memory=4e9)


def ledger() -> Ledger:
    return Ledger(MACHINE, ("3", "5"))


@pytest.mark.parametrize(
    ("needs", "fitting", "shortage"),
    [
        (AppNeeds(cpus=1), 2, "1 CPU: 2 of 2 taken"),
        (AppNeeds(cpus=0.3), 6, "0.3 CPUs: 1.8 of 2 taken"),
        (AppNeeds(cpus=0, memory=1_500_000_000), 2, "1500 MB: 3000 of 4000 MB taken"),
        (AppNeeds(cpus=0, gpus=0.5), 4, "0.5 GPUs: 2 of 2 GPUs taken"),
        (AppNeeds(cpus=0, gpus=2), 1, "2 GPUs: 2 of 2 GPUs taken"),
    ],
)
def test_as_many_begin_as_there_is_room_for(needs: AppNeeds, fitting: int, shortage: str) -> None:
    taken = ledger()
    shares = [taken.take(needs) for _ in range(fitting)]
    assert None not in shares
    assert taken.take(needs) is None
    assert taken.shortage(needs) == shortage
    assert MACHINE.room_for(needs) == fitting  # who plans and who counts agree


def test_what_is_given_back_can_be_taken_again() -> None:
    taken, needs = ledger(), AppNeeds(cpus=1, gpus=1)
    first, second = taken.take(needs), taken.take(needs)
    assert first is not None
    assert second is not None
    assert (first.gpus, second.gpus) == (("3",), ("5",))
    taken.give_back(second)
    assert taken.take(needs) == second


def test_apps_that_share_a_gpu_leave_others_whole() -> None:
    taken, half, whole = ledger(), AppNeeds(cpus=0, gpus=0.5), AppNeeds(cpus=0, gpus=1)
    halves = [taken.take(half), taken.take(half)]
    assert [share and share.gpus for share in halves] == [("3",), ("3",)]
    rest = taken.take(whole)
    assert rest is not None
    assert rest.gpus == ("5",)
    assert taken.take(half) is None


def test_what_another_queue_gave_is_counted_even_when_it_is_too_much() -> None:
    taken, needs = ledger(), AppNeeds(cpus=1)
    share = taken.take(needs)
    assert share is not None
    for _ in range(2):
        taken.hold(share)
    assert taken.shortage(needs) == "1 CPU: 3 of 2 taken"
    taken.give_back(share)
    assert taken.take(needs) is None


def test_what_will_never_be_there_is_known() -> None:
    assert ledger().can_ever_have(AppNeeds(gpus=2))
    assert not ledger().can_ever_have(AppNeeds(cpus=3))
