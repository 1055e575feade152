"""Three rounds of every strategy on replies made from a seed; runs under either release.

Imports nothing but ``flwr`` and numpy: as a program under upstream's Python, as a module in tests.
"""

import json
import random
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp import strategy as fl

ROUNDS = 3
Shapes = dict[str, tuple[int, ...]]
SHAPES: Shapes = {"w": (7, 5), "b": (5,), "scale": ()}
WITHOUT_SCALARS: Shapes = {**SHAPES, "scale": (1,)}
"""For server-side clipping: upstream's leaves arrays of no dimension as long as they are."""

ServerFixed = fl.DifferentialPrivacyServerSideFixedClipping
ClientFixed = fl.DifferentialPrivacyClientSideFixedClipping
ServerAdaptive = fl.DifferentialPrivacyServerSideAdaptiveClipping
ClientAdaptive = fl.DifferentialPrivacyClientSideAdaptiveClipping

CASES: dict[str, Callable[[], Any]] = {
    "FedAvg": fl.FedAvg,
    "FedProx": lambda: fl.FedProx(proximal_mu=0.1),
    "FedAvgM": lambda: fl.FedAvgM(server_learning_rate=0.7, server_momentum=0.9),
    "FedAvgM-lr": lambda: fl.FedAvgM(server_learning_rate=0.5),
    "FedAdagrad": fl.FedAdagrad,
    "FedAdagrad-big": lambda: fl.FedAdagrad(eta=1.0, tau=0.1),
    "FedAdam": fl.FedAdam,
    "FedAdam-fast": lambda: fl.FedAdam(eta=1.0, beta_1=0.5, beta_2=0.6, tau=0.1),
    "FedYogi": fl.FedYogi,
    "FedYogi-fast": lambda: fl.FedYogi(eta=1.0, beta_1=0.5, beta_2=0.6, tau=0.1),
    "FedMedian": fl.FedMedian,
    "FedTrimmedAvg": fl.FedTrimmedAvg,
    "FedTrimmedAvg-0.4": lambda: fl.FedTrimmedAvg(beta=0.4),
    "Krum": lambda: fl.Krum(num_malicious_nodes=2),
    "MultiKrum": lambda: fl.MultiKrum(num_malicious_nodes=2, num_nodes_to_select=4),
    "Bulyan": lambda: fl.Bulyan(num_malicious_nodes=2),
    "Bulyan-0": fl.Bulyan,
    "Bulyan-too-few": lambda: fl.Bulyan(num_malicious_nodes=3),
    "QFedAvg": lambda: fl.QFedAvg(client_learning_rate=0.1),
    "QFedAvg-0": lambda: fl.QFedAvg(client_learning_rate=0.1, q=0.0),
    "QFedAvg-2": lambda: fl.QFedAvg(client_learning_rate=0.05, q=2.0),
    "ServerFixed": lambda: ServerFixed(fl.FedAvg(), 0.0, 2.5, 11),
    "ServerFixed-noise": lambda: ServerFixed(fl.FedAvg(), 0.8, 2.5, 11),
    "ServerFixed-FedYogi": lambda: ServerFixed(fl.FedYogi(), 0.8, 2.5, 11),
    "ServerFixed-Krum": lambda: ServerFixed(fl.Krum(), 0.0, 6.0, 11),
    "ClientFixed-noise": lambda: ClientFixed(fl.FedAvg(), 0.8, 2.5, 11),
    "ServerAdaptive": lambda: ServerAdaptive(fl.FedAvg(), 0.0, 11, 6.0, 0.3, 0.4),
    "ServerAdaptive-count": lambda: ServerAdaptive(
        fl.FedAvg(), 0.0, 11, 6.0, clipped_count_stddev=1.0
    ),
    "ClientAdaptive": lambda: ClientAdaptive(fl.FedMedian(), 0.0, 11, 6.0, 0.3, 0.4),
    "FedXgbBagging": fl.FedXgbBagging,
    "FedXgbBagging-forest": fl.FedXgbBagging,
    "FedXgbCyclic": fl.FedXgbCyclic,
}
REPLIES = 11
"""Enough for Bulyan with two malicious nodes."""


class _FakeGrid(Grid):
    """Eleven nodes that are always there; nothing is sent."""

    def set_run(self, run: Any) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return list(range(101, 101 + REPLIES))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        raise NotImplementedError

    def create_message(self, *args: Any, **named: Any) -> Message:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        raise NotImplementedError


def run_case(name: str) -> dict[str, Any]:
    """Return the model and metrics of each round, who was asked, and where the norm went."""
    strategy = CASES[name]()
    source = np.random.default_rng(sum(name.encode()))
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002  as apps seed it
    booster = 2 if name.endswith("forest") else 1 if "Xgb" in name else 0
    shapes = WITHOUT_SCALARS if name.startswith("Server") else SHAPES
    model = _packed(b"") if booster else _random_model(source, shapes)
    seen: dict[str, Any] = {}
    for server_round in range(1, ROUNDS + 1):
        asked = list(strategy.configure_train(server_round, model, ConfigRecord(), _FakeGrid()))
        replies = [_reply(source, model, booster, node) for node in range(101, 101 + REPLIES)]
        arrays, metrics = strategy.aggregate_train(server_round, replies)
        model = model if arrays is None else arrays
        config = dict(next(iter(asked[0].content.config_records.values())))
        seen[str(server_round)] = {
            "arrays": None if arrays is None else _shown(arrays),
            "metrics": None if metrics is None else dict(metrics),
            "asked": [message.metadata.dst_node_id for message in asked],
            "config": config,
            "norm": getattr(strategy, "clipping_norm", 0.0),
        }
    return seen


def _random_model(source: np.random.Generator, shapes: Shapes) -> ArrayRecord:
    arrays = {name: source.normal(size=shape) for name, shape in shapes.items()}
    return ArrayRecord({n: Array(np.asarray(a, np.float32)) for n, a in arrays.items()})


def _reply(source: np.random.Generator, model: ArrayRecord, booster: int, node: int) -> Message:
    metrics = MetricRecord(
        {
            "num-examples": int(source.integers(1, 1000)),
            "train_loss": float(source.uniform(0, 3)),
            "norm_bit": int(source.integers(0, 2)),
            "per-class": source.uniform(size=3).tolist(),
        }
    )
    arrays = _packed(_booster(source, booster)) if booster else _trained(source, model)
    content = RecordDict({"arrays": arrays, "metrics": metrics})
    return Message(content, reply_to=Message(RecordDict(), node, "train"))


def _trained(source: np.random.Generator, model: ArrayRecord) -> ArrayRecord:
    trained = ArrayRecord()
    for name, array in model.items():
        update = source.normal(0.1, 1.0, array.shape) * source.choice([0.2, 1.0, 3.0])
        trained[name] = Array(np.asarray(array.numpy() + update, np.float32))
    return trained


def _booster(source: np.random.Generator, parallel: int) -> bytes:
    """Return the parts of a booster's JSON text that strategies look at, and a few more."""
    count = parallel * int(source.integers(1, 4))
    model = {
        "gbtree_model_param": {"num_parallel_tree": str(parallel), "num_trees": str(count)},
        "iteration_indptr": list(range(0, count + 1, parallel)),
        "tree_info": [0] * count,
        "trees": [{"base_weights": source.normal(size=3).tolist(), "id": i} for i in range(count)],
    }
    learner = {"gradient_booster": {"model": model, "name": "gbtree"}, "attributes": {}}
    return json.dumps({"learner": learner, "version": [2, 1, 1]}).encode()


def _packed(booster: bytes) -> ArrayRecord:
    return ArrayRecord([np.frombuffer(booster, np.uint8)])


def _shown(arrays: ArrayRecord) -> dict[str, Any]:
    return {
        name: {"values": array.numpy().astype(float).tolist(), "dtype": array.dtype}
        for name, array in arrays.items()
    }


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json.dumps({name: run_case(name) for name in CASES}), "utf-8")
