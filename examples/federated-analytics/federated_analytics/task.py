"""The data: the wines of scikit-learn, measured at sites that are not alike."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_wine

Numbers = NDArray[Any]


def names() -> list[str]:
    """Return what is measured of each wine."""
    return list(load_wine().feature_names)


def load_partition(partition_id: int, num_partitions: int) -> Numbers:
    """Return one site's wines: its neighbours in the list, thus mostly of one of three growers."""
    return np.array_split(pooled(), num_partitions)[partition_id]


def pooled() -> Numbers:
    """Return the wines of all sites, (wines, measurements): what no real server would have."""
    return np.asarray(load_wine().data)
