"""The client's half of SecAgg: SecAgg+ in which all clients are neighbours."""

from flwr.app.context import Context
from flwr.app.message import Message
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.clientapp.typing import ClientAppCallable


def secagg_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Take part in SecAgg; see ``secaggplus_mod``, which does the same for fewer neighbours."""
    return secaggplus_mod(msg, ctxt, call_next)
