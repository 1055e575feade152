"""The context of an app <-> bytes of ``flwr.proto.Context``."""

from flwr.app.context import Context
from flwr.core.ids import NodeId, RunId
from flwr.proto import message_pb2
from flwr.wire.codec.config import decode_config, new_context
from flwr.wire.codec.records import decode_record_dict, encode_record_dict


def encode_context(context: Context) -> message_pb2.Context:
    """Return the context, its state's arrays included.

    Raises:
        InvalidError: an integer needs more than 64 bits.
    """
    encoded = new_context(
        RunId(context.run_id),
        NodeId(context.node_id),
        node_config=context.node_config,
        run_config=context.run_config,
    )
    encoded.state.CopyFrom(encode_record_dict(context.state))
    return encoded


def decode_context(context: message_pb2.Context) -> Context:
    """Return the context.

    Raises:
        InvalidError: a value is missing.
    """
    return Context(
        run_id=context.run_id,
        node_id=context.node_id,
        node_config=decode_config(context.node_config),
        state=decode_record_dict(context.state),
        run_config=decode_config(context.run_config),
    )
