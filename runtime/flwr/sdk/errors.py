"""What can go wrong in the SDK beyond what the SuperLink itself reports.

Every error is a ``FlwrError``: ``message`` says what happened, ``hint`` what to do next.
"""

from flwr.core.errors import (
    ErrorKind,
    FailedPreconditionError,
    FlwrError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from flwr.core.run import RunStatus


class LinkClosedError(FailedPreconditionError):
    """The connection was closed on this side; what waited on it ended."""

    def __init__(self) -> None:
        """Use the one text."""
        super().__init__(
            "the connection to the SuperLink is closed",
            hint="keep it open while runs are used: with SuperLink.connect(...) as link",
        )


class RunEndedBadlyError(FailedPreconditionError):
    """The run did not complete; ``status`` and ``details`` say how it ended and why."""

    def __init__(self, run_id: int, status: RunStatus, details: str) -> None:
        """Give the cause as the SuperLink recorded it."""
        cause = details or "no cause was recorded"
        super().__init__(f"run {run_id} {status}: {cause}", hint="read its log: run.logs()")
        self.run_id, self.status, self.details = run_id, status, details


class RunFailedError(RunEndedBadlyError):
    """The run failed: its ServerApp raised, died, was lost or never started."""


class RunStoppedError(RunEndedBadlyError):
    """Somebody stopped the run."""


class MissingExtraError(InvalidError):
    """What deploys containers is not installed."""

    def __init__(self) -> None:
        """Use the one text."""
        super().__init__(
            "deploying needs python-on-whales, which is not installed",
            hint="pip install 'flwr-compose[sdk]'",
        )


class CheckoutNotFoundError(NotFoundError):
    """There is no checkout of flwr-compose, whose files images and deployments are made from."""


class ToolError(FlwrError):
    """One of the checkout's tools failed; its own words are in ``message`` and ``hint``."""

    def __init__(self, message: str, *, hint: str, kind: ErrorKind) -> None:
        """Keep what the tool said, and whose fault it is."""
        super().__init__(message, hint=hint)
        self.kind = kind


class ToolTimeoutError(UnavailableError, TimeoutError):
    """One of the checkout's tools took longer than it was given; it has been ended."""

    def __init__(self, tool: str, timeout: float) -> None:
        """Name the tool and its time in seconds."""
        super().__init__(
            f"{tool} has not ended within {timeout:g} s",
            hint="give the same call again with a longer timeout: what is done stays done",
        )


class DeployError(UnavailableError):
    """The engine does not answer, or the containers did not become healthy."""


class DeploymentNotFoundError(NotFoundError):
    """No deployment of this name was made on this machine by this user."""
