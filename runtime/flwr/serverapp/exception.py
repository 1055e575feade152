"""Failures of a ServerApp; those with an exit code end its process with it."""

from typing import ClassVar

from flwr.app.exception import AppExitException


class InconsistentMessageReplies(AppExitException):
    """Replies of one round do not have the same form, so they cannot be aggregated."""

    exit_code: ClassVar[int] = 200

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class AggregationError(AppExitException):
    """The replies of a round cannot be turned into a model."""

    exit_code: ClassVar[int] = 202

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class LoadServerAppError(Exception):
    """The app's ServerApp cannot be loaded or has nothing to run."""


class RunNotRunningException(BaseException):
    """The run was stopped.  Not an Exception, so that ``except Exception`` lets the app end."""
