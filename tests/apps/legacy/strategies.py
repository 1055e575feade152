"""Every legacy strategy on the same random replies, with whichever release runs this file.

``python strategies.py``: prints one JSON document of all that came out, floats as hexadecimals.
"""

import json
import logging
import random
import sys
from importlib import import_module

import numpy as np

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import Code, EvaluateRes, FitRes, Parameters, Status
from flwr.server.client_manager import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import FedAvg

OK = Status(Code.OK, "")
CLIENTS, ROUNDS = 7, 3


class Nobody(ClientProxy):
    def get_properties(self, ins, timeout, group_id): ...
    def get_parameters(self, ins, timeout, group_id): ...
    def fit(self, ins, timeout, group_id): ...
    def evaluate(self, ins, timeout, group_id): ...
    def reconnect(self, ins, timeout, group_id): ...


def new_model(rng, *, with_number: bool):
    model = [rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=4)]
    return [*model, np.asarray(rng.normal(), np.float32)] if with_number else model


def shown(parameters):
    if parameters is None:
        return None
    arrays = parameters_to_ndarrays(parameters)
    return [[str(a.dtype), a.shape, [float(x).hex() for x in a.ravel()]] for a in arrays]


def fold(metrics):
    return {"m": sum(n * m["a"] for n, m in metrics)}


def loss_of(_, model, __):
    return float(np.abs(model[0]).sum() + np.abs(model[1]).sum()), {"layers": len(model)}


def booster(trees: int) -> bytes:
    one = {"id": 0, "base_weights": [0.5], "left_children": [-1]}
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(trees)},
        "iteration_indptr": list(range(trees + 1)),
        "tree_info": [0] * trees,
        "trees": [{**one, "id": i} for i in range(trees)],
    }
    return json.dumps({"learner": {"gradient_booster": {"model": model}}}).encode()


def make(name: str, **named):
    module, _, kind = name.partition(":")
    return getattr(import_module(f"flwr.server.strategy.{module}"), kind)(**named)


RAW = {"android", "cyclic", "bagging"}  # models that are no .npy files

# What is private gets models without an array of no axes: upstream does not clip those.
PRIVATE = {
    "server fixed": ("dp_fixed_clipping:DifferentialPrivacyServerSideFixedClipping", {}),
    "client fixed": ("dp_fixed_clipping:DifferentialPrivacyClientSideFixedClipping", {}),
    "server adaptive": ("dp_adaptive_clipping:DifferentialPrivacyServerSideAdaptiveClipping", {}),
    "client adaptive": ("dp_adaptive_clipping:DifferentialPrivacyClientSideAdaptiveClipping", {}),
}
CASES = {
    "avg": ("fedavg:FedAvg", {}),
    "avg, not in place": ("fedavg:FedAvg", {"inplace": False}),
    "avg, half": (
        "fedavg:FedAvg",
        {"fraction_fit": 0.5, "fraction_evaluate": 0.3, "accept_failures": False},
    ),
    "avg, folded": (
        "fedavg:FedAvg",
        {"fit_metrics_aggregation_fn": fold, "evaluate_metrics_aggregation_fn": fold},
    ),
    "avgm": ("fedavgm:FedAvgM", {"initial": True, "server_momentum": 0.9}),
    "avgm, rate": ("fedavgm:FedAvgM", {"initial": True, "server_learning_rate": 0.5}),
    "avgm, off": ("fedavgm:FedAvgM", {"initial": True}),
    "adagrad": ("fedadagrad:FedAdagrad", {"initial": True}),
    "adam": ("fedadam:FedAdam", {"initial": True, "eta": 0.2, "tau": 0.01}),
    "yogi": ("fedyogi:FedYogi", {"initial": True}),
    "opt": ("fedopt:FedOpt", {"initial": True}),
    "median": ("fedmedian:FedMedian", {}),
    "trimmed": ("fedtrimmedavg:FedTrimmedAvg", {"beta": 0.3}),
    "prox": ("fedprox:FedProx", {"proximal_mu": 0.3}),
    "krum": ("krum:Krum", {"num_malicious_clients": 2}),
    "krum, three": ("krum:Krum", {"num_malicious_clients": 1, "num_clients_to_keep": 3}),
    "bulyan": ("bulyan:Bulyan", {"num_malicious_clients": 1, "to_keep": 0}),
    "q": ("qfedavg:QFedAvg", {"evaluate_fn": loss_of, "q_param": 0.4}),
    "tolerant": ("fault_tolerant_fedavg:FaultTolerantFedAvg", {}),
    "android": ("fedavg_android:FedAvgAndroid", {}),
    "cyclic": ("fedxgb_cyclic:FedXgbCyclic", {"evaluate_metrics_aggregation_fn": fold}),
    "bagging": ("fedxgb_bagging:FedXgbBagging", {}),
    "old fixed": (
        "dpfedavg_fixed:DPFedAvgFixed",
        {"strategy": True, "num_sampled_clients": CLIENTS, "clip_norm": 0.5},
    ),
    "old adaptive": (
        "dpfedavg_adaptive:DPFedAvgAdaptive",
        {"strategy": True, "num_sampled_clients": CLIENTS, "noise_multiplier": 0.1},
    ),
}


def case(name: str):
    if name in PRIVATE:
        kind, _ = PRIVATE[name]
        further = {"clipping_norm": 0.5} if "fixed" in name else {"initial_clipping_norm": 2.5}
        return make(
            kind, strategy=FedAvg(), noise_multiplier=0.1, num_sampled_clients=CLIENTS, **further
        )
    kind, named = CASES[name]
    named = dict(named)
    if named.pop("initial", False):
        named["initial_parameters"] = first_model(name)
    if named.pop("strategy", False):
        named["strategy"] = FedAvg()
    return make(kind, **named)


def first_model(name: str):
    return ndarrays_to_parameters(new_model(np.random.default_rng(3), with_number=has_number(name)))


def raw_model(name: str, rng):
    numbers = rng.normal(size=5).astype(np.float32)
    return Parameters([numbers.tobytes() if name == "android" else booster(1)], "")


def has_number(name: str) -> bool:
    return name not in PRIVATE


def replies(name: str, asked, rng):
    for client, _ in asked:
        count, loss = int(rng.integers(1, 50)), float(rng.normal())
        metrics = {"a": loss, "norm_bit": count % 2 == 0, "dpfedavg_norm_bit": count % 2 == 0}
        if name in RAW:
            model = raw_model(name, rng)
        else:
            model = ndarrays_to_parameters(new_model(rng, with_number=has_number(name)))
        yield client, FitRes(OK, model, count, metrics)


def seen(asked):
    return [
        [client.cid, sorted((k, repr(v)) for k, v in ins.config.items())] for client, ins in asked
    ]


def play(name: str):
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002  the generator that strategies use
    rng = np.random.default_rng(8)
    strategy = case(name)
    manager = SimpleClientManager()
    for index in range(CLIENTS):
        manager.register(Nobody(str(index)))
    model = strategy.initialize_parameters(manager)
    yield [repr(strategy), shown(model)]
    model = model or (raw_model(name, rng) if name in RAW else first_model(name))
    for server_round in range(1, ROUNDS + 1):
        common = {"server_round": server_round, "client_manager": manager}
        asked = strategy.configure_fit(parameters=model, **common)
        results = list(replies(name, asked, rng))
        new, metrics = strategy.aggregate_fit(server_round, results, [])
        model = new or model
        digest = [t.hex() for t in model.tensors] if name in RAW else shown(model)
        yield [seen(asked), digest, metrics, new is None]
        evaluators = strategy.configure_evaluate(parameters=model, **common)
        found = [
            (client, EvaluateRes(OK, abs(float(rng.normal())), 3, {"a": 0.5}))
            for client, _ in evaluators
        ]
        loss, metrics = strategy.aggregate_evaluate(server_round, found, [])
        yield [seen(evaluators), float(loss).hex(), metrics]
        yield [repr(strategy.evaluate(server_round, model))]
    if name not in {
        "old fixed",
        "old adaptive",
        "server adaptive",
        "client adaptive",
        "krum, three",
    }:
        yield [strategy.aggregate_fit(9, [], [])[0] is None]
    if name != "bulyan":
        with_failures = strategy.aggregate_fit(9, results, [ValueError()] * 20)[0]
        yield ["failures", with_failures is None]


def main() -> None:
    logging.getLogger("flwr").setLevel(logging.CRITICAL)
    document = {name: list(play(name)) for name in (*CASES, *PRIVATE)}
    json.dump(document, sys.stdout)


if __name__ == "__main__":
    main()
