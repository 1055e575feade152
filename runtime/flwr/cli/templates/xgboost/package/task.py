"""Data and model: breast tumours of scikit-learn, and boosted trees that travel as bytes."""

import numpy as np
import xgboost
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

HELD_OUT = 0.2  # share of the cases that only the server sees

Data = tuple[np.ndarray, np.ndarray]  # features (n, 30), benign or not (n,)


def load_partition(partition_id: int, num_partitions: int, seed: int) -> Data:
    """Return one node's share: the same cases for the same numbers."""
    order = _order(seed)
    train = order[int(len(order) * HELD_OUT) :]
    return _cases(train[partition_id::num_partitions])


def load_held_out(seed: int) -> Data:
    """Return the cases that no node ever sees."""
    order = _order(seed)
    return _cases(order[: int(len(order) * HELD_OUT)])


def grow(model: bytes, data: Data, *, trees: int, depth: int, rate: float) -> bytes:
    """Grow some trees after those of ``model``; return the new ones alone."""
    parameters = {
        "objective": "binary:logistic",
        "max_depth": depth,
        "eta": rate,
        "tree_method": "hist",
        "nthread": 1,  # nodes of one machine share its CPUs
    }
    matrix = xgboost.DMatrix(data[0], label=data[1])
    before = load(model) if model else None
    booster = xgboost.train(parameters, matrix, num_boost_round=trees, xgb_model=before)
    grown = booster.num_boosted_rounds()
    return bytes(booster[grown - trees : grown].save_raw("json"))


def measure(model: bytes, data: Data) -> float:
    """Return the area under the curve of the forest on ``data``: 1.0 is perfect, 0.5 is chance."""
    if not model:
        return 0.5
    return float(roc_auc_score(data[1], load(model).predict(xgboost.DMatrix(data[0]))))


def load(model: bytes) -> xgboost.Booster:
    """Return the forest that ``model`` holds."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(model))
    return booster


def to_array(model: bytes) -> np.ndarray:
    """Return the form in which a forest travels."""
    return np.frombuffer(model, dtype=np.uint8)


def _order(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(load_breast_cancer().target))


def _cases(chosen: np.ndarray) -> Data:
    features, benign = load_breast_cancer(return_X_y=True)
    return features[chosen], benign[chosen]
