"""The apps that show what an app meets in its container."""

import json
from typing import Any, Final

from tests.harness.federation import Federation
from tests.harness.toolset import ROOT

PROBE: Final = ROOT / "tests" / "apps" / "probe"


def met_by(federation: Federation, run_id: str) -> dict[str, Any]:
    """Return what the probe app of a run met, by partition; ``server`` is the ServerApp."""
    log = federation.log_of(run_id)
    lines = [line.split("met: ", 1)[1] for line in log.splitlines() if "met: " in line]
    assert lines, f"the app said nothing:\n{log[-3000:]}"
    met = json.loads(lines[-1])
    assert isinstance(met, dict)
    return met
