"""Describe, by introspection, the public names of the ``flwr`` that the running interpreter has.

``python surface.py`` prints JSON.  It needs nothing but the standard library and ``flwr``, so that
upstream's virtual environment and ours can both run it, and imports nothing of this project.
"""

import enum
import importlib
import inspect
import json
import logging
import sys
import warnings
from types import ModuleType
from typing import Any

# The modules of app-api.md §2.  None: all that __all__ lists, or that the module itself defines.
MODULES: dict[str, str | None] = {
    "flwr": "__version__ app clientapp serverapp client server common simulation",
    "flwr.app": None,
    "flwr.app.exception": None,
    "flwr.clientapp": None,
    "flwr.clientapp.mod": None,
    "flwr.clientapp.typing": "ClientAppCallable Mod",
    "flwr.serverapp": None,
    "flwr.serverapp.exception": None,
    "flwr.serverapp.strategy": None,
    "flwr.serverapp.strategy.fedopt": "FedOpt",
    "flwr.common": None,
    "flwr.common.config": "flatten_dict unflatten_dict get_project_config",
    "flwr.common.constant": None,
    "flwr.common.logger": (
        "LOGGER_NAME FLOWER_LOGGER log configure update_console_handler warn_deprecated_feature "
        "warn_preview_feature warn_unsupported_feature"
    ),
    "flwr.common.parameter": None,
    "flwr.common.record": None,
    "flwr.common.recorddict_compat": None,
    "flwr.common.typing": None,
    "flwr.client": None,
    "flwr.client.mod": None,
    "flwr.client.typing": "ClientAppCallable ClientFn ClientFnExt Mod",
    "flwr.server": None,
    "flwr.server.app": "ServerConfig",
    "flwr.server.client_manager": None,
    "flwr.server.client_proxy": None,
    "flwr.server.compat": None,
    "flwr.server.criterion": None,
    "flwr.server.grid": None,
    "flwr.server.history": None,
    "flwr.server.server": None,
    "flwr.server.strategy": None,
    "flwr.server.strategy.aggregate": None,
    "flwr.server.typing": "ServerAppCallable ServerFn Workflow",
    "flwr.server.utils": "tensorboard",
    "flwr.server.workflow": None,
    "flwr.server.workflow.constant": None,
    "flwr.simulation": None,
}
# What apps import from the module that defines it, as editors complete it.
DEEP_MODULES: dict[str, str] = {
    "flwr.client.client": "Client",
    "flwr.client.mod.centraldp_mods": "adaptiveclipping_mod fixedclipping_mod",
    "flwr.client.mod.comms_mods": "arrays_size_mod message_size_mod",
    "flwr.client.mod.localdp_mod": "LocalDpMod",
    "flwr.client.mod.secure_aggregation": "secagg_mod secaggplus_mod",
    "flwr.client.numpy_client": "NumPyClient",
    "flwr.clientapp.client_app": "ClientApp",
    "flwr.clientapp.mod.centraldp_mods": "adaptiveclipping_mod fixedclipping_mod",
    "flwr.clientapp.mod.localdp_mod": "LocalDpMod",
    "flwr.common.context": "Context",
    "flwr.common.differential_privacy": (
        "adaptive_clip_inputs_inplace add_gaussian_noise_inplace add_gaussian_noise_to_params "
        "add_localdp_gaussian_noise_to_params clip_inputs_inplace "
        "compute_adaptive_clip_model_update compute_adaptive_noise_params "
        "compute_clip_model_update compute_stdv get_norm"
    ),
    "flwr.common.message": (
        "DEFAULT_TTL Error Message MessageInitializationError Metadata make_message "
        "remove_content_from_message"
    ),
    "flwr.common.record.array": "Array",
    "flwr.common.record.arrayrecord": "ArrayRecord",
    "flwr.common.record.configrecord": "ConfigRecord",
    "flwr.common.record.conversion_utils": "array_from_numpy",
    "flwr.common.record.metricrecord": "MetricRecord",
    "flwr.common.record.recorddict": "RecordDict",
    "flwr.common.secure_aggregation.crypto.shamir": "combine_shares create_shares",
    "flwr.common.secure_aggregation.quantization": "dequantize quantize",
    "flwr.server.compat.grid_client_proxy": "GridClientProxy",
    "flwr.server.compat.legacy_context": "LegacyContext",
    "flwr.server.grid.grid": "Driver Grid",
    "flwr.server.server_app": "ServerApp ServerAppCallable ServerFn",
    "flwr.server.server_config": "ServerConfig",
    "flwr.server.serverapp_components": "ServerAppComponents",
    "flwr.server.strategy.bulyan": "Bulyan",
    "flwr.server.strategy.dp_adaptive_clipping": (
        "DifferentialPrivacyClientSideAdaptiveClipping "
        "DifferentialPrivacyServerSideAdaptiveClipping"
    ),
    "flwr.server.strategy.dp_fixed_clipping": (
        "DifferentialPrivacyClientSideFixedClipping DifferentialPrivacyServerSideFixedClipping"
    ),
    "flwr.server.strategy.dpfedavg_adaptive": "DPFedAvgAdaptive",
    "flwr.server.strategy.dpfedavg_fixed": "DPFedAvgFixed",
    "flwr.server.strategy.fault_tolerant_fedavg": "FaultTolerantFedAvg",
    "flwr.server.strategy.fedadagrad": "FedAdagrad",
    "flwr.server.strategy.fedadam": "FedAdam",
    "flwr.server.strategy.fedavg": "FedAvg",
    "flwr.server.strategy.fedavg_android": "FedAvgAndroid",
    "flwr.server.strategy.fedavgm": "FedAvgM",
    "flwr.server.strategy.fedmedian": "FedMedian",
    "flwr.server.strategy.fedopt": "FedOpt",
    "flwr.server.strategy.fedprox": "FedProx",
    "flwr.server.strategy.fedtrimmedavg": "FedTrimmedAvg",
    "flwr.server.strategy.fedxgb_bagging": "FedXgbBagging",
    "flwr.server.strategy.fedxgb_cyclic": "FedXgbCyclic",
    "flwr.server.strategy.fedyogi": "FedYogi",
    "flwr.server.strategy.krum": "Krum",
    "flwr.server.strategy.qfedavg": "QFedAvg",
    "flwr.server.strategy.strategy": "Strategy",
    "flwr.server.workflow.default_workflows": "DefaultWorkflow",
    "flwr.server.workflow.secure_aggregation.secagg_workflow": "SecAggWorkflow",
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow": (
        "SecAggPlusWorkflow WorkflowState"
    ),
    "flwr.serverapp.server_app": "ServerApp",
    "flwr.serverapp.strategy.bulyan": "Bulyan",
    "flwr.serverapp.strategy.dp_adaptive_clipping": (
        "DifferentialPrivacyClientSideAdaptiveClipping "
        "DifferentialPrivacyServerSideAdaptiveClipping"
    ),
    "flwr.serverapp.strategy.dp_fixed_clipping": (
        "DifferentialPrivacyClientSideFixedClipping DifferentialPrivacyServerSideFixedClipping"
    ),
    "flwr.serverapp.strategy.fedadagrad": "FedAdagrad",
    "flwr.serverapp.strategy.fedadam": "FedAdam",
    "flwr.serverapp.strategy.fedavg": "FedAvg",
    "flwr.serverapp.strategy.fedavgm": "FedAvgM",
    "flwr.serverapp.strategy.fedmedian": "FedMedian",
    "flwr.serverapp.strategy.fedprox": "FedProx",
    "flwr.serverapp.strategy.fedtrimmedavg": "FedTrimmedAvg",
    "flwr.serverapp.strategy.fedxgb_bagging": "FedXgbBagging",
    "flwr.serverapp.strategy.fedxgb_cyclic": "FedXgbCyclic",
    "flwr.serverapp.strategy.fedyogi": "FedYogi",
    "flwr.serverapp.strategy.krum": "Krum",
    "flwr.serverapp.strategy.multikrum": "MultiKrum",
    "flwr.serverapp.strategy.qfedavg": "QFedAvg",
    "flwr.serverapp.strategy.result": "Result",
    "flwr.serverapp.strategy.strategy": "Strategy",
    "flwr.serverapp.strategy.strategy_utils": (
        "aggregate_arrayrecords aggregate_metricrecords config_to_str log_strategy_start_info "
        "sample_nodes validate_message_reply_consistency"
    ),
}
PLAIN = (str, int, float, bool, type(None))
KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: "/",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "",
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.KEYWORD_ONLY: "keyword ",
    inspect.Parameter.VAR_KEYWORD: "**",
}
Described = dict[str, Any]


def surface() -> dict[str, Described]:
    """Return dotted name to description; an object that was seen before names its first place."""
    found: dict[str, Described] = {}
    seen: dict[int, str] = {}
    for module_name, names in (MODULES | DEEP_MODULES).items():
        try:
            module = importlib.import_module(module_name)
        except ImportError:
            continue
        for name in sorted(public_names(module, names)):
            dotted = f"{module_name}.{name}"
            try:
                value = getattr(module, name)
            except AttributeError:
                continue
            found[dotted] = describe(value)
            if inspect.isclass(value) or inspect.isfunction(value):
                first = seen.setdefault(id(value), dotted)
                if first != dotted:
                    found[dotted] = {"same": first}
    return found


def public_names(module: ModuleType, names: str | None) -> list[str]:
    """Return the names to describe of a module."""
    if names is not None:
        return names.split()
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    return [name for name in dir(module) if name[0] != "_" and is_its_own(name, module)]


def is_its_own(name: str, module: ModuleType) -> bool:
    """Tell what a module defines from what it imports, as far as its values show it."""
    value = vars(module)[name]
    if isinstance(value, PLAIN):
        return not hasattr(logging, name)
    if is_alias(value):
        homes = {"typing", "flwr.common.typing"} - {module.__name__}
        return not any(hasattr(importlib.import_module(home), name) for home in homes)
    return getattr(value, "__module__", None) == module.__name__


def is_alias(value: Any) -> bool:
    """True for what stands for a type without being a class."""
    return type(value).__module__ in {"typing", "types", "collections.abc"} and not (
        isinstance(value, ModuleType) or inspect.isroutine(value)
    )


def describe(value: Any) -> Described:
    """Return the facts about one public object."""
    if isinstance(value, ModuleType):
        return {"kind": "module"}
    if inspect.isclass(value):
        return describe_class(value)
    if inspect.isroutine(value):
        return {"kind": "function", "signature": signature(value)}
    if isinstance(value, PLAIN):
        return {"kind": "value", "value": value}
    if is_alias(value):
        return {"kind": "type"}
    return {"kind": "object"}


def describe_class(cls: type) -> Described:
    """Return a class's constructor, public members and, of an enum, its values."""
    if cls.__module__ == "builtins":
        return {"kind": "type"}
    if issubclass(cls, enum.Enum):
        return {"kind": "enum", "members": {m.name: plain(m.value) for m in cls}}
    members = {n: member(cls, n) for n in dir(cls) if not n.startswith("_")}
    for part in cls.__mro__:
        for name in inspect.get_annotations(part):
            if name[0] != "_":
                members.setdefault(name, "property")
    if "__call__" in dir(cls) and not issubclass(cls, type):
        members["__call__"] = member(cls, "__call__")
    return {"kind": "class", "signature": signature(cls), "members": members}


def member(cls: type, name: str) -> str:
    """Return a method's signature, or what else a class's attribute is."""
    value = inspect.getattr_static(cls, name)
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if not inspect.isfunction(value):
        if isinstance(value, PLAIN):
            return f"value {value!r}"
        return "method" if inspect.isroutine(value) else "property"
    # The signatures of the standard library's mixins are Python's affair.
    return f"method {signature(value)}" if value.__module__.startswith("flwr") else "method"


def signature(value: Any) -> str:
    """Return names, kinds and defaults of parameters; annotations are left out."""
    try:
        parameters = inspect.signature(value).parameters.values()
    except (TypeError, ValueError):
        return "(?)"
    return f"({', '.join(map(parameter, parameters))})"


def parameter(value: inspect.Parameter) -> str:
    """Return one parameter as text."""
    text = f"{KINDS[value.kind]}{value.name}"
    return text if value.default is value.empty else f"{text}={plain(value.default)!r}"


def plain(value: Any) -> Any:
    """Return a value as JSON and both releases can tell it: no addresses, no modules."""
    if isinstance(value, enum.Enum):
        return str(value.name)
    if isinstance(value, PLAIN):
        return value
    if value is inspect.Signature.empty or type(value).__name__ == "_HAS_DEFAULT_FACTORY_CLASS":
        return "<factory>"
    named = getattr(value, "__name__", None)
    return named or (repr(value) if " at 0x" not in repr(value) else type(value).__name__)


def main() -> None:
    """Print the surface as JSON."""
    warnings.simplefilter("ignore")
    logging.disable()
    text = json.dumps(surface(), indent=1, sort_keys=True, ensure_ascii=False)
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    main()
