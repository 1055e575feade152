from datetime import timedelta

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.shell.executors import Executors
from tests.fakes.clock import FakeClock

ONE, OTHER = (AppChoice(frozenset({name})) for name in ("lab/one", "lab/other"))


def test_an_executor_is_known_while_it_asks_and_a_while_after() -> None:
    clock = FakeClock()
    executors = Executors(clock)
    assert executors.served() is None
    with executors.asking():
        clock.advance(timedelta(minutes=1))
        assert executors.served() == EVERY_APP
    clock.advance(timedelta(seconds=9))
    assert executors.served() == EVERY_APP
    clock.advance(timedelta(seconds=2))
    assert executors.served() is None


def test_several_executors_serve_together_what_each_of_them_does() -> None:
    executors = Executors(FakeClock())
    with executors.asking(ONE), executors.asking(ONE), executors.asking(OTHER):
        assert executors.served() == AppChoice(frozenset({"lab/one", "lab/other"}))
        with executors.asking():
            assert executors.served() == EVERY_APP
