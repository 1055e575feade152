"""Context: what an app knows of its run, and the state it keeps between messages."""

from dataclasses import dataclass

from flwr.app.recorddict import RecordDict
from flwr.app.user_config import UserConfig


@dataclass
class Context:
    """One app's view of one run on one node.

    Attributes:
        run_id: the run.
        node_id: the node; 1 for a ServerApp.
        node_config: settings of the node, such as ``partition-id``.
        state: kept per node for the length of the run.
        run_config: flat settings of the run; read only.
    """

    run_id: int
    node_id: int
    node_config: UserConfig
    state: RecordDict
    run_config: UserConfig
