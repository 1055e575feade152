"""Every command line written for upstream's programs is understood, or refused with a reason.

upstream-1.29.0.json was recorded from upstream's own ``--help``.
"""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from scripts.cli_reference import DAEMONS

from tests.contract.cli.tree import commands, options, required

UPSTREAM: Final[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "upstream-1.29.0.json").read_text()
)
OURS: Final = dict(commands())
OF_ITS_OWN: Final = {
    # Upstream's is a helper that a SuperExec starts for one run, like flwr-serverapp; ours starts
    # flwr-serverapp for simulations too, and gives the name to a command for people.
    "flwr-simulation",
}


@pytest.mark.parametrize("command", UPSTREAM["commands"])
def test_a_command_takes_what_upstreams_takes(command: str) -> None:
    theirs = UPSTREAM["commands"][command]
    assert set(theirs["options"]) <= options(OURS[command])
    assert required(OURS[command]) == theirs["required"]


@pytest.mark.parametrize("daemon", DAEMONS, ids=lambda daemon: daemon.program)
def test_a_daemon_takes_or_refuses_what_upstreams_takes(daemon: Any) -> None:
    if daemon.program in OF_ITS_OWN:
        return
    taken = {flag for s in daemon.settings for flag in (s.flag, *s.aliases)}
    refused = {old.flag for old in daemon.refused}
    assert set(UPSTREAM["daemons"][daemon.program]) <= taken | refused
    assert not taken & refused
