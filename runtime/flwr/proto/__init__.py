"""Generated from ``proto/``; never edited by hand (``make proto``)."""

import sys
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec


def _load_when_used(package: str, name: str) -> None:
    """Let importing a module only note that it is there."""
    full_name = f"{package}.{name}"
    parent = import_module(package)
    if full_name in sys.modules or (spec := find_spec(full_name)) is None or spec.loader is None:
        return
    spec.loader = LazyLoader(spec.loader)
    module = sys.modules[full_name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    setattr(parent, name, module)


# With its fast implementation protobuf loads its slow one, and what prints messages: 10 ms and
# 0.7 MB of each process, whose forks have it in their tables.
_load_when_used("google.protobuf.internal", "python_message")
