"""The privacy mods on the same updates, under upstream's release and under ours."""

import json
import subprocess
from typing import Any

import numpy as np

from tests.harness.toolset import OURS, ROOT, Toolset


def numbers(tools: Toolset) -> dict[str, Any]:
    script = ROOT / "tests" / "interop" / "mods_numbers.py"
    done = subprocess.run(
        [tools.program("python"), "-W", "ignore", str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    told = json.loads(done.stdout)
    assert isinstance(told, dict)
    return told


def test_clipped_updates_are_upstreams(peer: Toolset) -> None:
    ours, theirs = numbers(OURS), numbers(peer)

    assert ours.keys() == theirs.keys()
    for case, (arrays, metrics) in ours.items():
        expected, expected_metrics = theirs[case]
        assert metrics == expected_metrics
        # Upstream scales float32 in float32, ours in float64: the last digit may differ.
        tolerance = 5e-6 if "float32" in case else 1e-13
        for (dtype, got), (expected_dtype, wanted) in zip(arrays, expected, strict=True):
            assert dtype == expected_dtype
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance / 10)


def test_the_cases_are_of_both_kinds() -> None:
    bits = {metrics.get("norm_bit") for _, metrics in numbers(OURS).values()}

    assert bits == {0, 1, None}
