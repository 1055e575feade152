"""As much of torch as the records touch."""

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray


class Tensor:
    def __init__(self, values: NDArray[Any]) -> None:
        self.values = values
        self.calls: list[str] = []

    def detach(self) -> "Tensor":
        self.calls.append("detach")
        return self

    def cpu(self) -> "Tensor":
        self.calls.append("cpu")
        return self

    def numpy(self) -> NDArray[Any]:
        return self.values


def load(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the records find torch among the loaded modules."""
    torch = ModuleType("torch")
    vars(torch).update(Tensor=Tensor, from_numpy=lambda values: Tensor(np.asarray(values)))
    monkeypatch.setitem(sys.modules, "torch", torch)
