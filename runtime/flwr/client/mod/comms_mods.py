"""Legacy home of the mods that log sizes; they live in ``flwr.clientapp.mod``."""

from flwr.clientapp.mod.size import arrays_size_mod, message_size_mod

__all__ = ["arrays_size_mod", "message_size_mod"]
