"""Data of a node, and what is computed from the nodes' answers."""

import math

import numpy as np

MEASUREMENTS = 500


def load_data(partition_id: int, seed: int) -> np.ndarray:
    """Return this node's measurements; every node has its own, always the same ones."""
    random = np.random.default_rng([seed, partition_id])
    return random.normal(20.0 + partition_id, 2.0, MEASUREMENTS)


def combine(parts: list[tuple[float, float, float]]) -> tuple[int, float, float]:
    """Return count, mean and deviation of all values from each node's count, sum and squares."""
    count, total, squares = (sum(column) for column in zip(*parts, strict=True))
    mean = total / count
    return int(count), mean, math.sqrt(max(0.0, squares / count - mean * mean))


def bars(counts: np.ndarray, edges: np.ndarray) -> str:
    """Return a histogram as text."""
    longest = max(1, int(counts.max()))
    rows = zip(edges[:-1], edges[1:], counts, strict=True)
    return "\n".join(
        f"{low:7.2f} to {high:7.2f}  {'#' * round(40 * n / longest)} {n}" for low, high, n in rows
    )
