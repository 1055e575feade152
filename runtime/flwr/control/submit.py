"""Submitting a run: once, however often it has to be tried."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from flwr.control.api import Control
from flwr.core.clock import Clock
from flwr.core.errors import NotFoundError, UnavailableError
from flwr.core.ids import RunId
from flwr.core.run_config import Config
from flwr.core.simulation import SimulationConfig

_ATTEMPTS: Final = 3
_PAUSE_S: Final = 0.5
_RETRIES_S: Final = 4.0  # a failure that took longer to explain is final
_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is sent to the SuperLink."""

    fab: bytes
    overrides: Config
    federation: str  # full name; empty: the default one
    simulation: SimulationConfig | None
    submit_key: str  # the same key twice is the same run


def new_submit_key() -> str:
    """Return a key that nobody has used."""
    return secrets.token_hex(_KEY_BYTES)


def submit(
    control: Control,
    submission: Submission,
    *,
    clock: Clock,
    pause: Callable[[float], None],
) -> RunId:
    """Start the run; its submit key makes trying again safe.

    Args:
        control: the SuperLink.
        submission: what to run.
        clock: tells whether another attempt is worth it.
        pause: waits so many seconds between attempts.

    Raises:
        UnavailableError: the SuperLink does not answer.
        NotFoundError: it has no such federation; the hint lists those it has.
    """
    last_try_until = clock.monotonic() + _RETRIES_S
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return control.start_run(
                submission.fab,
                submission.overrides,
                federation=submission.federation,
                simulation=submission.simulation,
                submit_key=submission.submit_key,
            )
        except UnavailableError:
            if attempt == _ATTEMPTS or clock.monotonic() > last_try_until:
                raise
            pause(_PAUSE_S)
        except NotFoundError as error:
            names = ", ".join(each.name for each in control.list_federations())
            error.hint = f"federations of this SuperLink: {names}" if names else error.hint
            raise
    raise AssertionError("the last attempt returns or raises")
