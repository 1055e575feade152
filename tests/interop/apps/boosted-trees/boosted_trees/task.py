"""boosted-trees: models in the form in which XGBoost writes them, without XGBoost."""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.common.config import unflatten_dict


def replace_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Write keys with underscores, as XGBoost wants them."""
    return {
        key.replace("-", "_"): replace_keys(value) if isinstance(value, dict) else value
        for key, value in config.items()
    }


def load_params(run_config: dict[str, Any]) -> dict[str, Any]:
    params = replace_keys(unflatten_dict(run_config))["params"]
    assert isinstance(params, dict)
    return params


def boost(
    model: bytes, params: dict[str, Any], rounds: int, partition_id: int, *, only_new: bool
) -> bytes:
    """Add one tree per round to the model; return all trees, or just those."""
    trees = trees_of(model)
    rng = np.random.default_rng([partition_id, len(trees)])
    new = [
        {"base_weights": (params["eta"] * rng.normal(size=3)).tolist(), "id": index}
        for index in range(len(trees), len(trees) + rounds)
    ]
    kept = new if only_new else [*trees, *new]
    for index, tree in enumerate(kept):
        tree["id"] = index
    booster = {
        "gbtree_model_param": {
            "num_parallel_tree": str(params["num_parallel_tree"]),
            "num_trees": str(len(kept)),
        },
        "iteration_indptr": list(range(len(kept) + 1)),
        "tree_info": [0] * len(kept),
        "trees": kept,
    }
    learner = {
        "attributes": {},
        "gradient_booster": {"model": booster, "name": "gbtree"},
        "objective": {"name": params["objective"]},
    }
    return json.dumps({"learner": learner, "version": [3, 0, 0]}).encode()


def trees_of(model: bytes) -> list[dict[str, Any]]:
    if not model:
        return []
    booster = json.loads(model)["learner"]["gradient_booster"]["model"]
    assert int(booster["gbtree_model_param"]["num_trees"]) == len(booster["trees"])
    found: list[dict[str, Any]] = booster["trees"]
    return found


def from_array(array: NDArray[np.uint8]) -> bytes:
    return array.tobytes()


def to_array(model: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(model, dtype=np.uint8)
