"""GridClientProxy: a node of a Grid as a client of a legacy server."""

from flwr.app.message import Message
from flwr.app.message_type import MessageType, MessageTypeLegacy
from flwr.app.recorddict import RecordDict
from flwr.common import recorddict_compat as compat
from flwr.common.typing import (
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    ReconnectIns,
)
from flwr.server.client_proxy import ClientProxy
from flwr.serverapp.grid import Grid


class GridClientProxy(ClientProxy):
    """Asks one node, by messages.

    Args:
        node_id: the node.
        grid: reaches it.
        run_id: the run.
    """

    def __init__(self, node_id: int, grid: Grid, run_id: int) -> None:
        super().__init__(str(node_id))
        self.node_id = node_id
        self.grid = grid
        self.run_id = run_id

    def get_properties(
        self, ins: GetPropertiesIns, timeout: float | None, group_id: int | None
    ) -> GetPropertiesRes:
        """Ask what the client is."""
        content = compat.getpropertiesins_to_recorddict(ins)
        reply = self._ask(content, MessageTypeLegacy.GET_PROPERTIES, timeout, group_id)
        return compat.recorddict_to_getpropertiesres(reply)

    def get_parameters(
        self, ins: GetParametersIns, timeout: float | None, group_id: int | None
    ) -> GetParametersRes:
        """Ask for the client's model."""
        content = compat.getparametersins_to_recorddict(ins)
        reply = self._ask(content, MessageTypeLegacy.GET_PARAMETERS, timeout, group_id)
        return compat.recorddict_to_getparametersres(reply, keep_input=False)

    def fit(self, ins: FitIns, timeout: float | None, group_id: int | None) -> FitRes:
        """Ask to train a model."""
        content = compat.fitins_to_recorddict(ins, keep_input=True)
        reply = self._ask(content, MessageType.TRAIN, timeout, group_id)
        return compat.recorddict_to_fitres(reply, keep_input=False)

    def evaluate(
        self, ins: EvaluateIns, timeout: float | None, group_id: int | None
    ) -> EvaluateRes:
        """Ask to evaluate a model."""
        content = compat.evaluateins_to_recorddict(ins, keep_input=True)
        reply = self._ask(content, MessageType.EVALUATE, timeout, group_id)
        return compat.recorddict_to_evaluateres(reply)

    def reconnect(
        self,
        ins: ReconnectIns,  # noqa: ARG002  a node needs not be told: it serves many runs
        timeout: float | None,  # noqa: ARG002
        group_id: int | None,  # noqa: ARG002
    ) -> DisconnectRes:
        """Do nothing."""
        return DisconnectRes(reason="")

    def _ask(
        self, content: RecordDict, message_type: str, timeout: float | None, group_id: int | None
    ) -> RecordDict:
        """Return the content of the node's reply.

        Raises:
            ValueError: the reply is an error, or there is none.
        """
        asked = Message(
            content,
            self.node_id,
            message_type,
            ttl=timeout,
            group_id=str(group_id) if group_id else None,
        )
        replies = list(self.grid.send_and_receive(messages=[asked]))
        if not replies:
            raise ValueError(f"node {self.node_id} sent no reply to a {message_type} message")
        reply = replies[0]
        if reply.has_error():
            raise ValueError(
                f"Message contains an Error (reason: {reply.error.reason}). "
                "It originated during client-side execution of a message."
            )
        return reply.content
