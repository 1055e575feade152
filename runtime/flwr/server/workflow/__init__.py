"""Workflows: the round loop of legacy apps in replaceable parts."""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.server.workflow.default_workflows import DefaultWorkflow
    from flwr.server.workflow.secure_aggregation import SecAggPlusWorkflow, SecAggWorkflow

__all__ = ["DefaultWorkflow", "SecAggPlusWorkflow", "SecAggWorkflow"]

_SECURE: Final = f"{__name__}.secure_aggregation"

__getattr__ = legacy_names(
    __name__,
    {
        "DefaultWorkflow": (
            f"{__name__}.default_workflows",
            "the main function of a flwr.serverapp.ServerApp, or flwr.serverapp.strategy",
        ),
        "SecAggPlusWorkflow": (_SECURE, None),
        "SecAggWorkflow": (_SECURE, None),
    },
    submodules={"constant", "default_workflows", "secure_aggregation"},
)
