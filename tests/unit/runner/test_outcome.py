import pytest

from flwr.core.errors import InvalidError
from flwr.runner.outcome import (
    Outcome,
    Report,
    RunEndedError,
    conclude,
    decode_report,
    describe_exception,
)


def test_a_report_survives_the_pipe() -> None:
    report = Report(Outcome.FAILED, "ValueError: é")
    assert decode_report(report.encode()) == report


@pytest.mark.parametrize("data", [b"", b"[]", b'["gone", ""]', b"7", b"\xff"])
def test_a_malformed_report_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError):
        decode_report(data)


@pytest.mark.row("F1", "F5")
def test_silence_is_a_crash_whatever_the_exit_code() -> None:
    assert conclude(None, "ServerApp", "exited with code 0") == Report(
        Outcome.FAILED, "ServerApp exited with code 0"
    )


def test_the_own_report_counts_even_if_the_process_was_killed_later() -> None:
    report = Report(Outcome.COMPLETED)
    assert conclude(report, "ServerApp", "was killed by SIGSEGV") is report


def test_exceptions_are_described_by_type_and_text() -> None:
    assert describe_exception(ValueError("boom")) == "ValueError: boom"
    assert describe_exception(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_an_app_cannot_catch_the_end_of_its_run_by_accident() -> None:
    assert not issubclass(RunEndedError, Exception)
