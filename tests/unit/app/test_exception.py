import pytest

from flwr.app.exception import AppExitException
from flwr.serverapp.exception import (
    AggregationError,
    InconsistentMessageReplies,
    RunNotRunningException,
)


def test_a_subclass_must_say_its_exit_code() -> None:
    with pytest.raises(ValueError, match="exit_code"):
        type("Silent", (AppExitException,), {})


@pytest.mark.parametrize(
    ("kind", "code"), [(InconsistentMessageReplies, 200), (AggregationError, 202)]
)
def test_exit_codes_are_those_of_the_contract(kind: type[AppExitException], code: int) -> None:
    assert issubclass(kind, AppExitException)
    assert kind.exit_code == code
    assert str(kind("why")) == "why"


def test_a_stopped_run_is_no_exception_an_app_catches_by_accident() -> None:
    assert not issubclass(RunNotRunningException, Exception)
