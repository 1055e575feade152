from pathlib import Path

import pytest

from flwr.shell.gpus import available_gpus


def test_every_device_is_a_gpu(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert available_gpus({}, tmp_path) == ("0", "1")


@pytest.mark.parametrize(
    ("chosen", "seen"),
    [("2,3", ("2", "3")), ("GPU-af, GPU-b0", ("GPU-af", "GPU-b0")), ("", ()), ("1,-1,2", ("1",))],
)
def test_who_chose_among_them_is_heeded(chosen: str, seen: tuple[str, ...], tmp_path: Path) -> None:
    assert available_gpus({"CUDA_VISIBLE_DEVICES": chosen}, tmp_path) == seen
