"""Data and model: the diabetes patients of scikit-learn, and boosted trees."""

from typing import Any

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score

HELD_OUT = 0.2  # share of the patients that only the server sees

Numbers = NDArray[Any]
Data = tuple[Numbers, Numbers]  # measurements (n, 10), progression of the disease (n,)
Settings = dict[str, Any]


def load_partition(partition_id: int, num_partitions: int, seed: int) -> Data:
    """Return one node's share: the same patients for the same numbers."""
    (measured, progression), _ = load_split(seed)
    return measured[partition_id::num_partitions], progression[partition_id::num_partitions]


def load_split(seed: int) -> tuple[Data, Data]:
    """Return what all nodes have together, and the patients that no node ever sees."""
    measured, progression = load_diabetes(return_X_y=True, scaled=False)
    order = np.random.default_rng(seed).permutation(len(progression))
    held_out, train = np.split(order, [int(len(order) * HELD_OUT)])
    return (measured[train], progression[train]), (measured[held_out], progression[held_out])


def settings(learning_rate: float, max_depth: int, first_guess: float, seed: int) -> Settings:
    """Return what XGBoost is told.

    Args:
        learning_rate: how much of what it corrects counts, for one tree.
        max_depth: of a tree.
        first_guess: what trees correct. Left to itself, XGBoost would take the mean of each node's
            patients, and trees that correct different guesses do not add up.
        seed: of the choice of patients and measurements that a tree sees.
    """
    return {
        "objective": "reg:squarederror",
        "base_score": first_guess,
        "eta": learning_rate,
        "max_depth": max_depth,
        "subsample": 0.7,
        "colsample_bynode": 0.5,
        "seed": seed,
        "nthread": 1,
    }


def boost(model: bytes, data: Data, told: Settings, trees: int) -> xgb.Booster:
    """Return the model, empty or not, with further trees that correct those before them."""
    patients = xgb.DMatrix(data[0], label=data[1])
    booster = xgb.Booster(told, [patients])
    if model:
        booster.load_model(bytearray(model))
    for _ in range(trees):
        booster.update(patients, booster.num_boosted_rounds())
    return booster


def newest_tree(booster: xgb.Booster) -> bytes:
    """Return a model of the last tree only: all that leaves a node."""
    count = booster.num_boosted_rounds()
    return bytes(booster[count - 1 : count].save_raw("json"))


def load(model: Numbers) -> xgb.Booster:
    """Return the model whose bytes ``FedXgbBagging`` keeps in an array."""
    return xgb.Booster(model_file=bytearray(model.tobytes()))


def measure(booster: xgb.Booster, data: Data) -> float:
    """Return R²: 1 when every progression is foretold, 0 when as if the mean was."""
    return float(r2_score(data[1], booster.predict(xgb.DMatrix(data[0]))))
