"""A ClientApp has the GPUs that were set aside for it, in whole runs.

Without a GPU, names of some are given by ``CUDA_VISIBLE_DEVICES``, which is how a machine is shared
out to begin with; where there is a GPU, CUDA itself is asked.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from flwr.shell.gpus import available_gpus
from tests.harness.toolset import ROOT
from tests.simulation.commands import config, run

PROBE: Final = ROOT / "tests" / "apps" / "probe"
ASKED: Final = config({"deed": "by-partition", "argument": "cuda: cuda:", "nodes": 2, "pause": 0.5})
WITH_RAY: Final = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
WITH_GPU: Final = pytest.mark.skipif(not available_gpus(), reason="this machine has no GPU")


def ask(folder: Path, needs: str, *options: str) -> tuple[str, list[dict[str, Any]]]:
    """Simulate two nodes with such needs; return the log, and what each found."""
    wanted = ("--client-resources", needs, *options, *ASKED)
    output, document = run(folder, PROBE, 2, *wanted)
    assert document["success"], output[-3000:]
    (line,) = [line for line in output.splitlines() if "met: " in line]
    met, _ = json.JSONDecoder().raw_decode(line.split("met: ", 1)[1])
    assert sorted(met) == ["0", "1"]
    return output, [met["0"], met["1"]]


@pytest.mark.row("S74")
def test_each_worker_of_the_pool_and_its_forks_have_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    needs = "num-cpus=0.5 num-gpus=1"
    output, found = ask(tmp_path, needs, "--backend", "pool", "--app-start", "fresh")
    assert "on 2 workers of this machine" in output
    assert {one["visible"] for one in found} <= {"4", "GPU-7"}  # one may have been there sooner


@pytest.mark.row("S74")
def test_workers_that_need_a_part_share_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4")
    output, found = ask(tmp_path, "num-cpus=0.5 num-gpus=0.5", "--backend", "pool")
    assert "on 2 workers of this machine" in output
    assert [one["visible"] for one in found] == ["4", "4"]


@WITH_GPU
@pytest.mark.row("S74")
@pytest.mark.parametrize("backend", ["pool", pytest.param("ray", marks=WITH_RAY)])
def test_cuda_finds_the_one_that_is_shared(tmp_path: Path, backend: str) -> None:
    _, found = ask(tmp_path, "num-cpus=0.5 num-gpus=0.5", "--backend", backend)
    assert {one["visible"] for one in found} <= set(available_gpus())
    assert [one["found"] for one in found] == [1, 1]


@WITH_GPU
def test_cuda_finds_none_where_none_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    _, found = ask(tmp_path, "num-cpus=0.5", "--backend", "pool")
    assert [one["found"] for one in found] == [None, None]
