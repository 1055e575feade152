"""legacy-best-model: a logistic regression on made-up data."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.common import NDArrays


class Net:
    """Two layers' worth of parameters."""

    def __init__(self) -> None:
        self.weights: NDArray[Any] = np.zeros(5)
        self.bias: NDArray[Any] = np.zeros(1)

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(1 / (1 + np.exp(-(x @ self.weights + self.bias))))


def get_weights(net: Net) -> NDArrays:
    return [net.weights, net.bias]


def set_weights(net: Net, parameters: NDArrays) -> None:
    net.weights, net.bias = (array.copy() for array in parameters)


def load_data(partition_id: int) -> tuple[NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(40 + partition_id)
    x = rng.normal(size=(30, 5))
    y = (x @ np.array([1.0, -1.0, 0.5, 0.0, 2.0]) + rng.normal(0, 0.5, 30) > 0).astype(float)
    return x, y


def train(net: Net, x: NDArray[Any], y: NDArray[Any], epochs: int, lr: float) -> float:
    for _ in range(epochs):
        residual = net.predict(x) - y
        net.weights = net.weights - lr * x.T @ residual / len(y)
        net.bias = net.bias - lr * residual.mean()
    return test(net, x, y)[0]


def test(net: Net, x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    predicted = net.predict(x)
    loss = -float(np.mean(y * np.log(predicted) + (1 - y) * np.log(1 - predicted)))
    return loss, float(np.mean((predicted > 0.5) == y))
