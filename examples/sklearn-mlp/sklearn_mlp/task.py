"""Data and model: the digits of scikit-learn, few kinds per node, and a network of one layer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

CLASSES = np.arange(10)
PIXELS = 64
BRIGHTEST = 16.0
HIDDEN = 32
BATCH = 32
HELD_OUT = 0.2  # share of the images that only the server sees
PIECES = 3  # of images in order of their digits: so many kinds of digits a node has, or one more

Numbers = NDArray[Any]
Data = tuple[Numbers, Numbers]  # images (n, 64) in 0..1, digits (n,)
Model = list[Numbers]  # weights (64, 32), (32, 10), offsets (32,), (10,)


def load_partition(partition_id: int, num_partitions: int, seed: int) -> Data:
    """Return one node's share: the same images for the same numbers, few kinds of digits."""
    (images, digits), _ = load_split(seed)
    pieces = np.array_split(np.argsort(digits, kind="stable"), num_partitions * PIECES)
    dealt = np.random.default_rng(seed).permutation(len(pieces))[partition_id::num_partitions]
    share = np.concatenate([pieces[piece] for piece in dealt])
    return images[share], digits[share]


def load_split(seed: int) -> tuple[Data, Data]:
    """Return what all nodes have together, and the images that no node ever sees."""
    images, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(digits))
    held_out, train = np.split(order, [int(len(order) * HELD_OUT)])
    images = images / BRIGHTEST
    return (images[train], digits[train]), (images[held_out], digits[held_out])


def initial_model(seed: int) -> Model:
    """Return random weights to start from."""
    return _parts(_network(None, 0.1, seed))


def fit(model: Model, data: Data, epochs: int, learning_rate: float, seed: int) -> Model:
    """Return the model after some passes over ``data``, starting where it was."""
    network = _network(model, learning_rate, seed)
    for _ in range(epochs):
        network.partial_fit(*data)
    return _parts(network)


def accuracy(model: Model, data: Data) -> float:
    """Return the share of the images whose digit the model tells."""
    return float(_network(model, 0.1, 0).score(*data))


def _network(model: Model | None, learning_rate: float, seed: int) -> MLPClassifier:
    network = MLPClassifier(
        (HIDDEN,),
        solver="sgd",
        momentum=0.0,
        learning_rate_init=learning_rate,
        batch_size=BATCH,
        random_state=seed,
    )
    # scikit-learn draws the weights at the first pass; one over blank images hardly moves them.
    network.partial_fit(np.zeros((BATCH, PIXELS)), np.zeros(BATCH, int), classes=CLASSES)
    if model is not None:
        first, second, *offsets = (part.copy() for part in model)
        network.coefs_, network.intercepts_ = [first, second], offsets
    return network


def _parts(network: MLPClassifier) -> Model:
    return [*network.coefs_, *network.intercepts_]
