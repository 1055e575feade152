"""Grid: how a ServerApp reaches the nodes of its federation."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable

from flwr.app.message import Message
from flwr.app.recorddict import RecordDict
from flwr.serverapp.pace import SYSTEM_PACE, Pace
from flwr.serverapp.run_info import Run


class Grid(ABC):
    """The nodes of one run, and messages to and from them."""

    pace: Pace = SYSTEM_PACE
    """How the default ``send_and_receive`` waits; subclasses with a bell override the method."""

    @abstractmethod
    def set_run(self, run: Run) -> None:
        """Tell the grid which run it serves; the runtime calls this before the app starts.

        Raises:
            TypeError: ``run`` is no Run.
        """

    @property
    @abstractmethod
    def run(self) -> Run:
        """A copy of what is known of the run."""

    @abstractmethod
    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the nodes that are online now, in no order."""

    @abstractmethod
    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send ``messages``; return their ids in the same order, ``""`` for a refused one.

        Sets run_id, message_id and src_node_id of each message.
        """

    @abstractmethod
    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies available now, error replies included; each is handed out once."""

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,
    ) -> Iterable[Message]:
        """Send ``messages`` and collect the replies.

        Args:
            messages: instructions to nodes.
            timeout: seconds; None waits until everything is answered.

        Returns:
            A list of replies, error replies included; what was not answered in time is missing.
        """
        unanswered = {message_id for message_id in self.push_messages(messages) if message_id}
        replies: list[Message] = []
        for _ in self.pace.attempts(timeout):
            if not unanswered:
                break
            arrived = list(self.pull_messages(unanswered))
            replies += arrived
            unanswered -= {reply.metadata.reply_to_message_id for reply in arrived}
            if not unanswered:
                break
        return replies

    def stream(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,
    ) -> Iterable[Message]:
        """Send ``messages`` and return the replies, where possible while others are awaited.

        For whoever takes replies one by one and keeps none.  A grid that can hand them out so
        returns an iterator, and holds no reply it has given; others return all in a list.

        Args:
            messages: instructions to nodes.
            timeout: seconds; None waits until everything is answered.

        Returns:
            Replies, error replies included; what was not answered in time is missing.
        """
        return self.send_and_receive(messages, timeout=timeout)

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new instruction; deprecated, construct ``Message`` instead."""
        warnings.warn(
            "`Grid.create_message` is deprecated, use `Message(content, dst_node_id, "
            "message_type, ttl=..., group_id=...)`",
            DeprecationWarning,
            stacklevel=2,
        )
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)
