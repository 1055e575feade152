"""Names of the wake-up topics: who rings them and who waits for them must agree on the text."""

from typing import Final

from flwr.core.ids import MessageId, NodeId, ObjectId, RunId

APPS: Final = "apps"  # a run is pending: SuperExecs listen
REAPER: Final = "reaper"  # a deadline was set that may come before the reaper looks by itself


def node(node_id: NodeId) -> str:
    """Return the topic of a node: an instruction waits for it, or it was unregistered."""
    return f"node:{node_id}"


def run(run_id: RunId) -> str:
    """Return the topic of a run: its status changed, or one of its asked nodes left."""
    return f"run:{run_id}"


def answer(instruction_id: MessageId) -> str:
    """Return the topic of an instruction: its answer is here, all of it."""
    return f"answer:{instruction_id}"


def ended(run_id: RunId) -> str:
    """Return the topic that rings once, when a run reached its final state."""
    return f"ended:{run_id}"


def log(run_id: RunId) -> str:
    """Return the topic of a run's log: a chunk was added, or the run ended."""
    return f"log:{run_id}"


def content(object_id: ObjectId) -> str:
    """Return the topic of an object: its content arrived."""
    return f"content:{object_id}"
