"""Data and model: the breast cancers of scikit-learn, and a logistic regression in NumPy."""

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer  # data only; the learning below is ours

FEATURES = 30
HELD_OUT = 0.2  # share of the tumours that only the server sees
DECAY = 0.001  # pull of the weights towards zero

Floats = NDArray[np.float64]
Data = tuple[Floats, Floats]  # measurements (n, 30); 1.0 for benign, 0.0 for malignant (n,)
Model = list[Floats]  # weights (30,), offset ()
Scale = tuple[Floats, Floats]  # mean and spread of each measurement, (30,) both


def load_partition(partition_id: int, num_partitions: int, seed: int) -> Data:
    """Return one node's share: the same tumours for the same numbers."""
    (measured, benign), _ = load_split(seed)
    return measured[partition_id::num_partitions], benign[partition_id::num_partitions]


def load_split(seed: int) -> tuple[Data, Data]:
    """Return what all nodes have together, and the tumours that no node ever sees."""
    measured, benign = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(benign))
    held_out, train = np.split(order, [int(len(order) * HELD_OUT)])
    benign = benign.astype(float)
    return (measured[train], benign[train]), (measured[held_out], benign[held_out])


def initial_model() -> Model:
    """Return the model that knows nothing."""
    return [np.zeros(FEATURES), np.zeros(())]


def scaled(data: Data, scale: Scale) -> Data:
    """Bring every measurement to mean 0 and spread 1: one learning rate then suits them all."""
    (measured, benign), (mean, spread) = data, scale
    return (measured - mean) / spread, benign


def fit(model: Model, data: Data, steps: int, learning_rate: float) -> Model:
    """Return the model after some steps of gradient descent on the scaled ``data``."""
    weights, offset = model
    measured, benign = data
    for _ in range(steps):
        error = _probabilities([weights, offset], measured) - benign
        gradient = measured.T @ error / len(benign) + DECAY * weights
        weights = weights - learning_rate * gradient
        offset = np.asarray(offset - learning_rate * error.mean())
    return [weights, offset]


def measure(model: Model, data: Data) -> tuple[float, float]:
    """Return loss and accuracy on the scaled ``data``."""
    measured, benign = data
    probabilities = _probabilities(model, measured)
    of_the_truth = np.where(benign == 1, probabilities, 1 - probabilities)
    return float(-np.log(of_the_truth).mean()), float((probabilities.round() == benign).mean())


def _probabilities(model: Model, measured: Floats) -> Floats:
    weights, offset = model
    logits = np.clip(measured @ weights + offset, -30, 30)
    return np.asarray(1 / (1 + np.exp(-logits)))
