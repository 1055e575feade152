"""Older forms of ``flwr.common.differential_privacy`` that return new arrays."""

import numpy as np

from flwr.common.differential_privacy import clipping_factor
from flwr.common.typing import NDArrays


def clip_by_l2(update: NDArrays, threshold: float) -> tuple[NDArrays, bool]:
    """Return ``update`` scaled down to ``threshold``, and whether it was longer than that."""
    factor = clipping_factor(update, threshold)
    return [np.asarray(layer * factor) for layer in update], factor < 1.0


def add_gaussian_noise(update: NDArrays, std_dev: float) -> NDArrays:
    """Return ``update`` with N(0, ``std_dev``) added to every number."""
    # numpy's global generator: apps seed it to repeat an experiment.
    return [
        np.asarray(layer + np.random.normal(0, std_dev, layer.shape))  # noqa: NPY002  see above
        for layer in update
    ]
