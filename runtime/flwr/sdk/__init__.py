"""The Python SDK: build images, deploy, submit runs, follow them, get what they leave.

Synchronous and typed.  Every wait can be given an end, every failure is a ``FlwrError`` with a
``hint``.
docs/sdk.md shows the whole way; deploying needs the extra: ``pip install 'flwr-compose[sdk]'``.
"""

from flwr.control.connection import ConnectionConfigError, ConnectionNotFoundError
from flwr.control.follow import RunNotEndedError
from flwr.core.errors import (
    DeniedError,
    FailedPreconditionError,
    FlwrError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from flwr.core.node import NodeStatus
from flwr.core.origin import Origin
from flwr.core.run import RunNotFoundError, RunStatus
from flwr.sdk.app import InlineApp
from flwr.sdk.checkout import Checkout, find_checkout
from flwr.sdk.deployment import DeploymentStatus, Endpoint, ServiceStatus
from flwr.sdk.engine import host_address
from flwr.sdk.errors import (
    CheckoutNotFoundError,
    DeployError,
    DeploymentNotFoundError,
    LinkClosedError,
    MissingExtraError,
    RunEndedBadlyError,
    RunFailedError,
    RunStoppedError,
    ToolError,
    ToolTimeoutError,
)
from flwr.sdk.images import AppImages, build_app_images, build_images
from flwr.sdk.keys import ServerKeys, SiteKeys, make_server_keys, make_site_keys
from flwr.sdk.link import NodeInfo, SuperLink
from flwr.sdk.parameters import Daemon, Executor, ParameterError, Volume
from flwr.sdk.run import Run, RunInfo, RunResult
from flwr.sdk.server import Server
from flwr.sdk.site import Site

__all__ = [
    "AppImages",
    "Checkout",
    "CheckoutNotFoundError",
    "ConnectionConfigError",
    "ConnectionNotFoundError",
    "Daemon",
    "DeniedError",
    "DeployError",
    "DeploymentNotFoundError",
    "DeploymentStatus",
    "Endpoint",
    "Executor",
    "FailedPreconditionError",
    "FlwrError",
    "InlineApp",
    "InvalidError",
    "LinkClosedError",
    "MissingExtraError",
    "NodeInfo",
    "NodeStatus",
    "NotFoundError",
    "Origin",
    "ParameterError",
    "Run",
    "RunEndedBadlyError",
    "RunFailedError",
    "RunInfo",
    "RunNotEndedError",
    "RunNotFoundError",
    "RunResult",
    "RunStatus",
    "RunStoppedError",
    "Server",
    "ServerKeys",
    "ServiceStatus",
    "Site",
    "SiteKeys",
    "SuperLink",
    "ToolError",
    "ToolTimeoutError",
    "UnauthenticatedError",
    "UnavailableError",
    "Volume",
    "build_app_images",
    "build_images",
    "find_checkout",
    "host_address",
    "make_server_keys",
    "make_site_keys",
]
