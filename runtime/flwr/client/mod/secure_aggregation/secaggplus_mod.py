"""The client's half of SecAgg+ as a mod: messages in, messages out; the work is participant's."""

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.app.console_log import logger
from flwr.app.message_type import MessageType
from flwr.client.mod.secure_aggregation import participant
from flwr.client.mod.secure_aggregation.checks import check_configs, check_stage
from flwr.client.mod.secure_aggregation.state import SecAggPlusState
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import recorddict_compat as compat
from flwr.common.parameter import parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import (
    RECORD_KEY_CONFIGS,
    RECORD_KEY_STATE,
    Key,
    Stage,
)
from flwr.common.typing import Code

__all__ = ["SecAggPlusState", "check_configs", "check_stage", "secaggplus_mod"]


def secaggplus_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Take part in SecAgg+: the update leaves this client only under masks.

    The sum over all clients is what the server learns of the updates.  Metrics and the number of
    examples travel as they are.  Messages other than ``train`` pass.

    Raises:
        KeyError: the server runs no SecAgg+, or an entry is missing.
        TypeError: an entry has the wrong type.
        ValueError: a stage is out of order, or answering would protect nothing.
    """
    if msg.metadata.message_type != MessageType.TRAIN:
        return call_next(msg, ctxt)
    configs = _require_configs(msg)
    state = _load(ctxt)
    check_stage(state.current_stage, configs)
    stage = str(configs[Key.STAGE])
    check_configs(stage, configs)
    if stage == Stage.SETUP:
        state = SecAggPlusState(nid=ctxt.node_id)
    content = RecordDict()
    if stage == Stage.COLLECT_MASKED_VECTORS:
        reply = call_next(msg, ctxt)
        if reply.has_error():
            return reply
        answer, content = _masked(state, configs, reply), reply.content
    else:
        answer = _STAGES[stage](state, configs)
    content[RECORD_KEY_CONFIGS] = ConfigRecord(answer)
    state.current_stage = stage
    ctxt.state[RECORD_KEY_STATE] = ConfigRecord(state.to_dict())
    logger.debug("Node %d: %s done", state.nid, stage)
    return Message(content, reply_to=msg)


_STAGES = {
    Stage.SETUP: participant.setup,
    Stage.SHARE_KEYS: participant.share_keys,
    Stage.UNMASK: participant.unmask,
}


def _require_configs(msg: Message) -> ConfigRecord:
    records = msg.content.config_records
    if RECORD_KEY_CONFIGS not in records:
        raise KeyError(
            f"the message lacks '{RECORD_KEY_CONFIGS}': use SecAggPlusWorkflow or SecAggWorkflow "
            "on the server; this client sends no update without"
        )
    return records[RECORD_KEY_CONFIGS]


def _load(ctxt: Context) -> SecAggPlusState:
    kept = ctxt.state.config_records.get(RECORD_KEY_STATE)
    return SecAggPlusState(**kept) if kept is not None else SecAggPlusState()


def _masked(state: SecAggPlusState, configs: ConfigRecord, reply: Message) -> participant.Reply:
    """Return the masked update, and take the plain one out of ``reply``."""
    generator = participant.take_shares(state, configs)
    trained = compat.recorddict_to_fitres(reply.content, keep_input=False)
    if trained.status.code is not Code.OK:
        raise ValueError(f"the client did not train: {trained.status.message}")
    reply.content["fitres.parameters"] = ArrayRecord(dict[str, Array]())
    updated = parameters_to_ndarrays(trained.parameters)
    return participant.mask_update(state, generator, trained.num_examples, updated)
