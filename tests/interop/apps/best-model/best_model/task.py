"""best-model: a linear model and its data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

NDArrays = list[NDArray[Any]]
TRUE_WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0], dtype=np.float32)


def get_model() -> NDArrays:
    return [np.zeros(4, dtype=np.float32), np.zeros(1, dtype=np.float32)]


def load_data(partition_id: int, size: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(1000 + partition_id)
    x = rng.normal(size=(size, 4)).astype(np.float32)
    y = x @ TRUE_WEIGHTS + 1 + rng.normal(0, 0.1, size).astype(np.float32)
    return x, y


def train(model: NDArrays, x: NDArray[Any], y: NDArray[Any], epochs: int, lr: float) -> float:
    weights, bias = model
    for _ in range(epochs):
        residual = x @ weights + bias - y
        weights -= np.float32(lr) * (x.T @ residual) / np.float32(len(y))
        bias -= np.float32(lr) * residual.mean()
    return test(model, x, y)


def test(model: NDArrays, x: NDArray[Any], y: NDArray[Any]) -> float:
    weights, bias = model
    return float(np.square(x @ weights + bias - y).mean())
