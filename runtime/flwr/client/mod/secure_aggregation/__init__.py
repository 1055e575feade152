"""Secure aggregation, the client's half: the server learns the sum of updates, and no update."""

from flwr.client.mod.secure_aggregation.secagg_mod import secagg_mod
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod

__all__ = ["secagg_mod", "secaggplus_mod"]
