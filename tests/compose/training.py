"""Runs of the tiny app that something befalls: how far they are, and what must come out of them."""

import hashlib
import re
from contextlib import closing
from typing import Any, Final

import numpy as np

from flwr.core.ids import NodeId, RunId
from flwr.core.node import NodeStatus
from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import Federation

ROUNDS: Final = 3
_PACE: Final = {"num_rounds": ROUNDS, "pause": 0.5, "evaluate": False}
_SIZE, _SEED, _PARTITIONS = 100, 7, (0, 1)  # the app's own defaults, on two nodes


def submit(federation: Federation, **settings: object) -> str:
    """Submit a run of a few short rounds on two nodes and return its id."""
    return federation.submit(TINY, *config(**{**_PACE, **settings}))


def await_round(federation: Federation, run_id: str, number: int) -> None:
    """Wait until a round has begun."""
    await_line(federation, run_id, f"[ROUND {number}/")


def await_line(federation: Federation, run_id: str, text: str) -> None:
    """Wait until the run's log has a text; fail with the log when the run ends without it."""
    seen = ""
    with (
        federation.open_control() as control,
        closing(control.stream_logs(RunId(int(run_id)))) as chunks,  # type: ignore[type-var]
    ):
        for chunk, _ in chunks:
            seen += chunk
            if text in seen:
                return
    raise AssertionError(f"run {run_id} ended without {text!r}:\n{seen}")


def replies_of(federation: Federation, run_id: str) -> list[tuple[int, int]]:
    """Return how many results and failures the strategy took in each round."""
    log = federation.log_of(run_id)
    found = re.findall(r"aggregate_train: Received (\d+) results and (\d+) failures", log)
    return [(int(results), int(failures)) for results, failures in found]


def assert_undisturbed(federation: Federation, run_id: str, rounds: int = ROUNDS) -> dict[str, Any]:
    """The run completes with the model of a run that nothing befell: every reply counted once."""
    run = federation.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    assert replies_of(federation, run_id) == [(2, 0)] * rounds
    assert digest_in(federation.log_of(run_id)) == undisturbed_digest(rounds)
    return run


def undisturbed_digest(rounds: int) -> str:
    """Compute the digest of the tiny app's final model, without any of the project's code."""
    model = np.zeros(_SIZE, dtype=np.float32)
    weights = [10 + partition for partition in _PARTITIONS]
    for number in range(1, rounds + 1):
        noise = [np.random.default_rng([_SEED, p, number]).normal(size=_SIZE) for p in _PARTITIONS]
        updates = [(model + one).astype(model.dtype) for one in noise]
        model = np.average(updates, axis=0, weights=weights).astype(model.dtype)
    return hashlib.sha256(np.round(model.astype(np.float64), 4).tobytes()).hexdigest()


def online_nodes(federation: Federation) -> set[NodeId]:
    """Return the ids of the nodes that are online."""
    with federation.open_control() as control:
        nodes, _ = control.list_nodes()
    return {node.node_id for node in nodes if node.status is NodeStatus.ONLINE}
