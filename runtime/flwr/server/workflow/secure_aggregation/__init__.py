"""Secure aggregation, the server's half: asks for masked updates and learns their sum."""

from flwr.server.workflow.secure_aggregation.secagg_workflow import SecAggWorkflow
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow

__all__ = ["SecAggPlusWorkflow", "SecAggWorkflow"]
