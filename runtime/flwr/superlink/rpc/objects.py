"""PullObject, as Fleet and ServerAppIo serve it: held while the content is on its way."""

from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import LONG_POLL
from flwr.proto import message_pb2
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.superlink import topics
from flwr.superlink.objects import Objects, Pulled


async def pull_held(
    objects: Objects,
    wakeups: Wakeups,
    run_id: RunId,
    object_id: ObjectId,
    *,
    node_id: NodeId | None = None,
) -> Pulled:
    """Return the object, waiting a while for content that was announced."""
    last = Pulled.awaited()

    async def attempt() -> Pulled | None:
        nonlocal last
        last = await in_thread(objects.get, run_id, object_id, node_id=node_id)
        return None if last.is_awaited else last

    bells = (topics.content(object_id), topics.ended(run_id))
    return await wakeups.until(bells, attempt, timeout=LONG_POLL) or last


def encode_pulled(pulled: Pulled) -> message_pb2.PullObjectResponse:
    """Return the answer on the wire (wire contract §8.2)."""
    return message_pb2.PullObjectResponse(
        object_found=pulled.is_known,
        object_available=pulled.is_present,
        object_content=pulled.content,
    )
