"""Workflows: the round loop of legacy apps in replaceable parts."""

from typing import TYPE_CHECKING

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.server.workflow.default_workflows import DefaultWorkflow

__all__ = ["DefaultWorkflow"]

__getattr__ = legacy_names(
    __name__,
    {
        "DefaultWorkflow": (
            f"{__name__}.default_workflows",
            "the main function of a flwr.serverapp.ServerApp, or flwr.serverapp.strategy",
        ),
    },
    submodules={"constant", "default_workflows"},
)
