"""Data and model: the digits of scikit-learn and a logistic regression."""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

CLASSES = np.arange(10)
PIXELS = 64
BRIGHTEST = 16.0
HELD_OUT = 0.2  # share of the images that only the server sees

Data = tuple[np.ndarray, np.ndarray]  # images (n, 64) in 0..1, digits (n,)


def load_partition(partition_id: int, num_partitions: int, seed: int) -> Data:
    """Return one node's share: the same images for the same numbers, every digit among them."""
    images, digits = _load()
    _, train = _split(len(digits), seed)
    by_digit = train[np.argsort(digits[train], kind="stable")]
    share = by_digit[partition_id::num_partitions]
    return images[share], digits[share]


def load_held_out(seed: int) -> Data:
    """Return the images that no node ever sees."""
    images, digits = _load()
    held_out, _ = _split(len(digits), seed)
    return images[held_out], digits[held_out]


def initial_model() -> list[np.ndarray]:
    """Return weights (10, 64) and offsets (10,) to start from."""
    return [np.zeros((len(CLASSES), PIXELS)), np.zeros(len(CLASSES))]


def fit(model: list[np.ndarray], data: Data, iterations: int) -> list[np.ndarray]:
    """Return the model after some iterations on ``data``, starting where it was."""
    regression = _regression(model, iterations)
    with warnings.catch_warnings():
        # A few iterations per round are the point; the rounds make it converge.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression.fit(*data)
    return [regression.coef_, regression.intercept_]


def measure(model: list[np.ndarray], data: Data) -> tuple[float, float]:
    """Return loss and accuracy of the model on ``data``."""
    regression = _regression(model, 1)
    images, digits = data
    loss = log_loss(digits, regression.predict_proba(images), labels=CLASSES)
    return float(loss), float(regression.score(images, digits))


def _regression(model: list[np.ndarray], iterations: int) -> LogisticRegression:
    regression = LogisticRegression(C=10.0, max_iter=iterations, warm_start=True)
    regression.classes_ = CLASSES
    regression.coef_, regression.intercept_ = (part.copy() for part in model)
    return regression


def _load() -> Data:
    images, digits = load_digits(return_X_y=True)
    return images / BRIGHTEST, digits


def _split(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(size)
    cut = int(size * HELD_OUT)
    return order[:cut], order[cut:]
