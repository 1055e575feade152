"""Every strategy against upstream's on the same random replies, over three rounds.

Tolerance: 2e-5 of the value and 2e-6. Models are float32 (machine precision 1.2e-7); upstream adds
up, clips and measures norms in other orders and, in QFedAvg and FedAdam, in float64.
"""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.toolset import Toolset
from tests.interop.strategies import rounds
from tests.interop.strategies.rounds import CASES, ROUNDS, run_case

RTOL, ATOL = 2e-5, 2e-6

WIDENED = {"FedAdam", "FedAdam-fast", "QFedAvg", "QFedAvg-0", "QFedAvg-2"}
"""Upstream's model becomes float64; ours keeps the type that was sent."""


@pytest.fixture(scope="module")
def theirs(peer: Toolset, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What upstream's strategies computed, all in one process."""
    result: Path = tmp_path_factory.mktemp("strategies") / "theirs.json"
    subprocess.run(
        [peer.program("python"), "-W", "ignore", rounds.__file__, str(result)],
        check=True,
        cwd=result.parent,
        env={"PATH": "/usr/bin:/bin", "HOME": str(result.parent), "FLWR_TELEMETRY_ENABLED": "0"},
        timeout=150,
    )
    return json.loads(result.read_text("utf-8"))


@pytest.mark.row("S42")
@pytest.mark.parametrize("name", CASES)
def test_equal_replies_give_equal_models_and_metrics(theirs: Any, name: str) -> None:
    # Through JSON, as theirs went.
    ours = json.loads(json.dumps(run_case(name)))

    assert ours.keys() == theirs[name].keys() == {str(r + 1) for r in range(ROUNDS)}
    for server_round, wanted in theirs[name].items():
        got = ours[server_round]
        assert got["asked"] == wanted["asked"]  # sampled with equal seeds
        assert got["config"] == pytest.approx(wanted["config"], rel=RTOL)
        assert got["norm"] == pytest.approx(wanted["norm"], rel=RTOL)
        assert_equal_metrics(got["metrics"], wanted["metrics"])
        assert_equal_arrays(got["arrays"], wanted["arrays"], widened=name in WIDENED)


def assert_equal_metrics(got: Any, wanted: Any) -> None:
    if wanted is None:
        assert got is None
        return
    assert got.keys() == wanted.keys()
    for key, value in wanted.items():
        assert got[key] == pytest.approx(value, rel=1e-9)


def assert_equal_arrays(got: Any, wanted: Any, *, widened: bool) -> None:
    if wanted is None:
        assert got is None
        return
    assert list(got) == list(wanted)
    for key, array in wanted.items():
        assert got[key]["dtype"] == ("float32" if widened else array["dtype"])
        np.testing.assert_allclose(got[key]["values"], array["values"], rtol=RTOL, atol=ATOL)
