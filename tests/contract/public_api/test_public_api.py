"""Every public name and signature of the app API (§2) that apps import."""

import inspect
import subprocess
import sys
from typing import Any

import pytest

import flwr.app
import flwr.clientapp
import flwr.clientapp.mod
import flwr.serverapp
import flwr.serverapp.strategy
from flwr.serverapp.strategy import strategy_utils
from flwr.serverapp.strategy.fedopt import FedOpt

PUBLIC = {
    "flwr.app": (
        "Array ArrayRecord ConfigRecord Context Error Message MessageType Metadata MetricRecord "
        "RecordDict UserConfig UserConfigValue"
    ),
    "flwr.clientapp": "ClientApp mod",
    "flwr.clientapp.mod": (
        "LocalDpMod adaptiveclipping_mod arrays_size_mod fixedclipping_mod message_size_mod"
    ),
    "flwr.serverapp": "Grid ServerApp strategy",
    "flwr.serverapp.strategy": (
        "Bulyan DifferentialPrivacyClientSideAdaptiveClipping "
        "DifferentialPrivacyClientSideFixedClipping DifferentialPrivacyServerSideAdaptiveClipping "
        "DifferentialPrivacyServerSideFixedClipping FedAdagrad FedAdam FedAvg FedAvgM FedMedian "
        "FedProx FedTrimmedAvg FedXgbBagging FedXgbCyclic FedYogi Krum MultiKrum QFedAvg Result "
        "Strategy"
    ),
}

FEDAVG = (
    "fraction_train=1.0, fraction_evaluate=1.0, min_train_nodes=2, min_evaluate_nodes=2, "
    "min_available_nodes=2, weighted_by_key='num-examples', arrayrecord_key='arrays', "
    "configrecord_key='config', train_metrics_aggr_fn=None, evaluate_metrics_aggr_fn=None"
)
SAMPLING, KEYS = FEDAVG.split(", weighted_by_key")
KEYS = f"weighted_by_key{KEYS}"
FIXED_DP = "strategy, noise_multiplier, clipping_norm, num_sampled_clients"
ADAPTIVE_DP = (
    "strategy, noise_multiplier, num_sampled_clients, initial_clipping_norm=0.1, "
    "target_clipped_quantile=0.5, clip_norm_lr=0.2, clipped_count_stddev=None"
)
APP, STRATEGY = flwr.app, flwr.serverapp.strategy
SIGNATURES: list[tuple[Any, str]] = [
    (APP.ConfigRecord, "config_dict=None, keep_input=True"),
    (APP.MetricRecord, "metric_dict=None, keep_input=True"),
    (
        APP.RecordDict,
        "records=None, *, parameters_records=None, metrics_records=None, configs_records=None",
    ),
    (APP.Context, "run_id, node_id, node_config, state, run_config"),
    (APP.Error, "code, reason=None"),
    (
        APP.Metadata,
        (
            "run_id, message_id, src_node_id, dst_node_id, reply_to_message_id, group_id, "
            "created_at, ttl, message_type"
        ),
    ),
    (flwr.clientapp.ClientApp, "client_fn=None, mods=None"),
    (flwr.clientapp.ClientApp.train, "self, action='default', *, mods=None"),
    (flwr.clientapp.ClientApp.evaluate, "self, action='default', *, mods=None"),
    (flwr.clientapp.ClientApp.query, "self, action='default', *, mods=None"),
    (flwr.clientapp.ClientApp.lifespan, "self"),
    (flwr.clientapp.ClientApp.__call__, "self, message, context"),
    (flwr.clientapp.mod.LocalDpMod, "clipping_norm, sensitivity, epsilon, delta"),
    (flwr.clientapp.mod.fixedclipping_mod, "msg, ctxt, call_next"),
    (flwr.clientapp.mod.adaptiveclipping_mod, "msg, ctxt, call_next"),
    (flwr.clientapp.mod.message_size_mod, "msg, ctxt, call_next"),
    (flwr.clientapp.mod.arrays_size_mod, "msg, ctxt, call_next"),
    (
        flwr.serverapp.ServerApp,
        "server=None, config=None, strategy=None, client_manager=None, server_fn=None",
    ),
    (flwr.serverapp.ServerApp.main, "self"),
    (flwr.serverapp.ServerApp.lifespan, "self"),
    (flwr.serverapp.ServerApp.__call__, "self, grid, context"),
    (flwr.serverapp.Grid.set_run, "self, run"),
    (flwr.serverapp.Grid.get_node_ids, "self"),
    (flwr.serverapp.Grid.push_messages, "self, messages"),
    (flwr.serverapp.Grid.pull_messages, "self, message_ids"),
    (flwr.serverapp.Grid.send_and_receive, "self, messages, *, timeout=None"),
    (
        flwr.serverapp.Grid.create_message,
        "self, content, message_type, dst_node_id, group_id, ttl=None",
    ),
    (
        STRATEGY.Strategy.start,
        (
            "self, grid, initial_arrays, num_rounds=3, timeout=3600, train_config=None, "
            "evaluate_config=None, evaluate_fn=None"
        ),
    ),
    (STRATEGY.FedAvg.configure_train, "self, server_round, arrays, config, grid"),
    (STRATEGY.FedAvg.aggregate_train, "self, server_round, replies"),
    (STRATEGY.FedAvg.configure_evaluate, "self, server_round, arrays, config, grid"),
    (STRATEGY.FedAvg.aggregate_evaluate, "self, server_round, replies"),
    (STRATEGY.FedAvg.summary, "self"),
    (STRATEGY.FedAvg, FEDAVG),
    (STRATEGY.FedMedian, FEDAVG),
    (STRATEGY.FedProx, f"{FEDAVG}, proximal_mu=0.0"),
    (STRATEGY.FedAvgM, f"{FEDAVG}, server_learning_rate=1.0, server_momentum=0.0"),
    (
        STRATEGY.FedAdam,
        f"*, {FEDAVG}, eta=0.1, eta_l=0.1, beta_1=0.9, beta_2=0.99, tau=0.001",
    ),
    (STRATEGY.FedAdagrad, f"*, {FEDAVG}, eta=0.1, eta_l=0.1, tau=0.001"),
    (
        STRATEGY.FedYogi,
        f"*, {FEDAVG}, eta=0.01, eta_l=0.0316, beta_1=0.9, beta_2=0.99, tau=0.001",
    ),
    (STRATEGY.FedTrimmedAvg, f"{FEDAVG}, beta=0.2"),
    (STRATEGY.Krum, f"{SAMPLING}, num_malicious_nodes=0, {KEYS}"),
    (STRATEGY.MultiKrum, f"{SAMPLING}, num_malicious_nodes=0, num_nodes_to_select=1, {KEYS}"),
    (STRATEGY.Bulyan, f"{SAMPLING}, num_malicious_nodes=0, {KEYS}, selection_rule=None"),
    (
        STRATEGY.QFedAvg,
        f"client_learning_rate, q=0.1, train_loss_key='train_loss', {FEDAVG}",
    ),
    (STRATEGY.FedXgbBagging, FEDAVG),
    (
        STRATEGY.FedXgbCyclic,
        f"fraction_train=1.0, fraction_evaluate=1.0, min_available_nodes=2, {KEYS}",
    ),
    (STRATEGY.DifferentialPrivacyServerSideFixedClipping, FIXED_DP),
    (STRATEGY.DifferentialPrivacyClientSideFixedClipping, FIXED_DP),
    (STRATEGY.DifferentialPrivacyServerSideAdaptiveClipping, ADAPTIVE_DP),
    (STRATEGY.DifferentialPrivacyClientSideAdaptiveClipping, ADAPTIVE_DP),
    (FedOpt, f"*, {FEDAVG}, eta=0.1, eta_l=0.1, beta_1=0.0, beta_2=0.0, tau=0.001"),
    (
        strategy_utils.log_strategy_start_info,
        "num_rounds, arrays, train_config, evaluate_config",
    ),
]


@pytest.mark.parametrize("package", PUBLIC)
def test_a_package_exports_its_public_names_and_no_others(package: str) -> None:
    module = sys.modules[package]

    assert sorted(module.__all__) == PUBLIC[package].split()
    assert all(hasattr(module, name) for name in PUBLIC[package].split())


@pytest.mark.parametrize(
    ("function", "wanted"), SIGNATURES, ids=lambda v: getattr(v, "__name__", "")
)
def test_signatures_are_those_of_the_contract(function: Any, wanted: str) -> None:
    signature = inspect.signature(function)

    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)
    assert str(plain) == f"({wanted})"


def test_types_of_clientapp_functions_are_public() -> None:
    from flwr.clientapp.typing import ClientAppCallable, Mod

    assert ClientAppCallable is not None
    assert Mod is not None


def test_the_package_offers_its_three_parts_lazily() -> None:
    script = (
        "import sys, flwr; assert 'numpy' not in sys.modules; flwr.app.Array; flwr.clientapp; "
        "flwr.serverapp.strategy.FedAvg; "
        "bad = {'grpc', 'google.protobuf', 'sqlalchemy', 'torch', 'typer'} & set(sys.modules); "
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
