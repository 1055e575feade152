"""Every legacy strategy on the same random replies, under upstream's release and under ours."""

import json
import subprocess
from typing import Any

from tests.harness.toolset import OURS, ROOT, Toolset


def numbers(tools: Toolset) -> Any:
    """Return what a release's strategies compute."""
    script = ROOT / "tests" / "apps" / "legacy" / "strategies.py"
    done = subprocess.run(
        [tools.program("python"), "-W", "ignore", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_strategies_give_upstreams_numbers(peer: Toolset) -> None:
    theirs, ours = (numbers(tools) for tools in (peer, OURS))

    assert ours.keys() == theirs.keys()
    assert len(ours) > 20
    assert [name for name in ours if ours[name] != theirs[name]] == []
