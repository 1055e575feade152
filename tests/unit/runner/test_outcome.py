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
    report = Report(Outcome.FAILED, "ValueError: é", finish=b"a\0b")
    assert decode_report(report.encode()) == report
    assert decode_report(Report(Outcome.FAILED, "a\0\udc80").encode()).details == "a \\udc80"


@pytest.mark.parametrize("data", [b"", b"failed", b"gone\0\0", b"failed\0\xff\0", b"\xff\0\0"])
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
