"""Legacy names: loaded on first use, each with one DeprecationWarning that names its successor."""

import sys
import warnings
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import Any


def legacy_names(
    package: str,
    names: Mapping[str, tuple[str, str | None]],
    *,
    submodules: Collection[str] = (),
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a legacy package.

    Args:
        package: its name.
        names: of each public name, the module that has it and what to use instead; None: there is
            nothing else yet, so no warning.
        submodules: reachable as attributes without an import of their own, and without a warning.
    """

    def load(name: str) -> Any:
        if name in submodules:
            return import_module(f"{package}.{name}")
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, successor = names[name]
        value = getattr(import_module(home), name)
        # Stack: this function, then whoever wrote the name; the import system is not counted.
        if successor is not None:
            warnings.warn(
                f"{package}.{name} is deprecated, use {successor}", DeprecationWarning, stacklevel=2
            )
        setattr(sys.modules[package], name, value)  # found from now on, so this warns once
        return value

    return load
