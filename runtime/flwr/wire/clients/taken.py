"""What a ClientApp's process is given, written from the app's own values."""

from flwr.app.context import Context
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.proto import appio_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire.codec.contexts import encode_context
from flwr.wire.codec.deliveries import write_deliveries
from flwr.wire.codec.runs import encode_run


def encode_taken(run: Run, context: Context, instruction: Delivery) -> bytes:
    """Return what ``ClientAppIoClient.take`` reads."""
    inputs = appio_pb2.PullAppInputsResponse(context=encode_context(context), run=encode_run(run))
    pulled = appio_pb2.PullAppMessagesResponse()
    write_deliveries(pulled, [instruction])
    return launches_pb2.TakeResponse(
        run_id=run.run_id,
        inputs=inputs.SerializeToString(),
        message=pulled.SerializeToString(),
    ).SerializeToString()
