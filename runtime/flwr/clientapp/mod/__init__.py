"""Mods that ship with the runtime."""

from flwr.clientapp.mod.centraldp_mods import adaptiveclipping_mod, fixedclipping_mod
from flwr.clientapp.mod.localdp_mod import LocalDpMod
from flwr.clientapp.mod.size import arrays_size_mod, message_size_mod

__all__ = [
    "LocalDpMod",
    "adaptiveclipping_mod",
    "arrays_size_mod",
    "fixedclipping_mod",
    "message_size_mod",
]
