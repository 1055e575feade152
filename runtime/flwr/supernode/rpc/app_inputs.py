"""What an app starts from, as protobuf."""

from flwr.proto import appio_pb2, fab_pb2, message_pb2
from flwr.supernode.apps import AppInputs
from flwr.wire.codec.config import new_context
from flwr.wire.codec.runs import encode_run


def encode_inputs(inputs: AppInputs) -> appio_pb2.PullAppInputsResponse:
    """Return context and run, without the bundle."""
    return appio_pb2.PullAppInputsResponse(
        context=_encode_context(inputs), run=encode_run(inputs.run)
    )


def encode_fab(inputs: AppInputs) -> fab_pb2.Fab:
    """Return the bundle; only its hash if the caller has it."""
    if (fab := inputs.fab) is None:
        return fab_pb2.Fab(hash_str=inputs.run.fab_hash)
    return fab_pb2.Fab(
        hash_str=fab.hash, content=fab.content, verifications=dict(fab.verifications)
    )


def _encode_context(inputs: AppInputs) -> message_pb2.Context:
    """Return the context: the state the last app left, everything else as it is today."""
    context = new_context(
        inputs.run.run_id,
        inputs.node_id,
        node_config=inputs.node_config,
        run_config=inputs.run_config,
    )
    if inputs.context is not None:
        context.state.CopyFrom(message_pb2.Context.FromString(inputs.context).state)
    return context
