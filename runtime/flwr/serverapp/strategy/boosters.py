"""Tree boosters of XGBoost as JSON text: taking trees of one over into another; needs no XGBoost.

Format: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

import json
from collections.abc import Iterable
from typing import Any

from flwr.serverapp.exception import AggregationError

Json = dict[str, Any]


def grow(booster: bytes, others: Iterable[bytes]) -> bytes:
    """Return ``booster`` with the first iteration of each other booster appended.

    An iteration is ``num_parallel_tree`` trees, times the classes if there are several (upstream
    takes too few then, and puts all in class 0). The attributes and parameters stay those of
    ``booster``; if that is empty, the first other booster is taken as it is.

    Raises:
        AggregationError: one is not a tree booster as JSON, or has no tree to append.
    """
    rest = iter(others)
    first = booster or next(rest, b"")
    grown: Json | None = None
    for other in rest:
        grown = grown if grown is not None else _parse(first)
        _append_iteration(_trees(grown), _trees(_parse(other)))
    # Written as upstream writes it: equal replies give equal bytes.
    return first if grown is None else json.dumps(grown).encode()


def aggregate_bagging(bst_prev_org: bytes, bst_curr_org: bytes) -> bytes:
    """Return ``grow`` for one other booster."""
    return grow(bst_prev_org, [bst_curr_org])


def _append_iteration(model: Json, other: Json) -> None:
    start, stop = _first_iteration(other)
    count = len(model["trees"])
    for tree_id, (tree, info) in enumerate(
        zip(other["trees"][start:stop], other["tree_info"][start:stop], strict=True), start=count
    ):
        model["trees"].append({**tree, "id": tree_id})
        model["tree_info"].append(info)
    total = len(model["trees"])
    model["iteration_indptr"].append(total)
    model["gbtree_model_param"]["num_trees"] = str(total)


def _first_iteration(model: Json) -> tuple[int, int]:
    """Return the indexes of its first tree and of the one after its last."""
    bounds: list[int] = model["iteration_indptr"][:2]
    if len(bounds) < 2 or not bounds[0] < bounds[1] <= len(model["trees"]):  # noqa: PLR2004  a pair
        raise AggregationError(
            "the booster of a reply holds no tree; every ClientApp must send the trees it added",
        )
    return bounds[0], bounds[1]


def _parse(booster: bytes) -> Json:
    try:
        parsed = json.loads(booster)
    except ValueError as error:
        raise AggregationError(
            "a booster is not JSON; ClientApps send numpy.frombuffer("
            'bst.save_raw("json"), dtype=numpy.uint8)',
        ) from error
    if not isinstance(parsed, dict):
        raise _not_trees()
    return parsed


def _trees(booster: Json) -> Json:
    """Return the part of a parsed booster that holds its trees."""
    try:
        model: Json = booster["learner"]["gradient_booster"]["model"]
        complete = {"gbtree_model_param", "iteration_indptr", "tree_info", "trees"} <= model.keys()
    except (AttributeError, KeyError, TypeError) as error:
        raise _not_trees() from error
    if not complete:
        raise _not_trees()
    return model


def _not_trees() -> AggregationError:
    return AggregationError(
        "a booster is not one of trees that XGBoost 1.7 or newer saved; train with "
        "booster='gbtree', not dart or gblinear",
    )
