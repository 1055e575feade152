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
    "flwr.common.logger": "LOGGER_NAME FLOWER_LOGGER log configure update_console_handler",
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
    for module_name, names in MODULES.items():
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
