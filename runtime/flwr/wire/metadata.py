"""Our own call metadata, all named ``flwr-compose-``; a peer that does not know it ignores it.

The keys of the wire contract (§5.1) all prove something: they are named beside their checks, in
``auth``.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from flwr.core.app_choice import AppChoice, read_choice
from flwr.core.ids import RunId

VERSION: Final = "flwr-compose-version"
"""Release of the caller."""

WAIT: Final = "flwr-compose-wait"
"""ServerAppIo.PullMessages: hold the call until any or all (the default) replies are there."""
WAIT_ANY: Final = "any"
WAIT_ALL: Final = "all"
WAIT_NO: Final = "no"
"""Answer at once with what is there."""

ACTIVE_RUNS: Final = "flwr-compose-active-runs"
"""Fleet.PullMessages: ids of the runs the node holds something of, decimal, joined with commas."""

ENDED_RUNS: Final = "flwr-compose-ended-runs"
"""Trailer of the same call: which of them have ended."""

HEARTBEAT_S: Final = "flwr-compose-heartbeat-s"
"""SendAppHeartbeat: seconds until the next heartbeat.  Fleet.PullMessages: this pull is a heartbeat
of its node too, which announces this interval; the call is held nearly as long."""

HEARD: Final = "flwr-compose-heard"
"""Trailer of such a pull: ``1``, it was a heartbeat."""

LINE: Final = "flwr-compose-line"
"""Trailer of Fleet.ActivateNode and of a pull that is a heartbeat: ``1``, a line can be opened."""

ENCLOSE: Final = "flwr-compose-enclose"
"""PullMessages, PullMessage: ``1`` if the caller reads objects that small messages bring along."""

ONLINE: Final = "flwr-compose-online"
"""ServerAppIo.PullMessages: ``1`` if the answer may say what GetNodes would."""

SUBMIT_KEY: Final = "flwr-compose-submit-key"
"""Control.StartRun: the same key of the same account names the same run."""

DURABLE: Final = "flwr-compose-durable"
"""Fleet.ActivateNode and PullMessages: ``1`` if the node keeps what it confirmed over a restart."""

ONLY_APPS: Final = "flwr-compose-only-apps"
"""ListAppsToLaunch: the apps this executor launches, publisher/name joined with commas."""

KIND: Final = "flwr-compose-kind"
"""Trailer of a failed call: the ``ErrorKind``, which is finer than the status code."""

HINT: Final = "flwr-compose-hint-bin"
"""Trailer of a failed call: what a person can do about it, UTF-8."""

_MAX_RUNS: Final = 1024  # more than a node can work for at once
_MAX_ID_DIGITS: Final = 20  # of 2**64
_LONGEST_HEARTBEAT_S: Final = 60.0


def write_runs(run_ids: Iterable[RunId]) -> str:
    """Return run ids as the comma list of ``ACTIVE_RUNS`` and ``ENDED_RUNS``."""
    return ",".join(map(str, run_ids))


def read_runs(said: str | None) -> list[RunId]:
    """Read a comma list of run ids; what is no number is skipped."""
    parts = [part.strip() for part in (said or "").split(",")[:_MAX_RUNS]]
    return [
        RunId(int(n)) for n in parts if n.isascii() and n.isdigit() and len(n) <= _MAX_ID_DIGITS
    ]


def read_only_apps(said: str | None) -> AppChoice:
    """Return which apps an executor launches.

    Raises:
        InvalidError: it says it in a way nobody understands; to launch others would be wrong.
    """
    return read_choice(said or "")


def read_heartbeat(said: str | None) -> timedelta | None:
    """Return when a runner announces its next heartbeat for; None when it says nothing usable."""
    try:
        seconds = float(said or "nan")
    except ValueError:
        return None
    return timedelta(seconds=seconds) if 0 < seconds <= _LONGEST_HEARTBEAT_S else None
