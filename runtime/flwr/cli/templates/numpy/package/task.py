"""Data and model: a line, fitted by gradient descent."""

import numpy as np

TRUE_SLOPE, TRUE_OFFSET = 3.0, -2.0
POINTS = 200
NOISE = 0.1


def load_data(partition_id: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make this node's points; every node has its own, always the same ones."""
    random = np.random.default_rng([seed, partition_id])
    x = random.uniform(-1.0, 1.0, POINTS)
    return x, TRUE_SLOPE * x + TRUE_OFFSET + random.normal(0.0, NOISE, POINTS)


def initial_model() -> list[np.ndarray]:
    """Return slope and offset to start from."""
    return [np.zeros(1), np.zeros(1)]


def fit(model: list[np.ndarray], x, y, *, steps: int, rate: float) -> list[np.ndarray]:
    """Return the model after some steps of gradient descent on the squared error."""
    slope, offset = model
    for _ in range(steps):
        error = slope * x + offset - y
        slope = slope - rate * np.mean(error * x)
        offset = offset - rate * np.mean(error)
    return [slope, offset]


def loss(model: list[np.ndarray], x, y) -> float:
    """Return the mean squared error."""
    slope, offset = model
    return float(np.mean((slope * x + offset - y) ** 2))
