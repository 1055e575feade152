"""Metadata of a message, and ``stamp``, the runtime's one way to set what an app may only read."""

from flwr.app.message_type import require_message_type


class Metadata:
    """Who sent what to whom, when, and for how long it counts.

    ``run_id``, ``message_id``, ``src_node_id`` and ``reply_to_message_id`` are read only for apps.

    Args:
        run_id: the run; 0 until the message is pushed.
        message_id: object id of the message; empty until pushed.
        src_node_id: sender; 0 until pushed.
        dst_node_id: receiver.
        reply_to_message_id: the instruction this answers; empty for an instruction.
        group_id: free text, by convention the round.
        created_at: Unix seconds by the sender's clock.
        ttl: seconds after ``created_at`` until the message no longer counts.
        message_type: ``<category>`` or ``<category>.<action>``.

    Raises:
        ValueError: ``message_type`` breaks the grammar.
    """

    dst_node_id: int
    group_id: str
    created_at: float
    ttl: float
    delivered_at: str

    def __init__(
        self,
        run_id: int,
        message_id: str,
        src_node_id: int,
        dst_node_id: int,
        reply_to_message_id: str,
        group_id: str,
        created_at: float,
        ttl: float,
        message_type: str,
    ) -> None:
        self._run_id = run_id
        self._message_id = message_id
        self._src_node_id = src_node_id
        self._reply_to_message_id = reply_to_message_id
        self._message_type = require_message_type(message_type)
        self.dst_node_id = dst_node_id
        self.group_id = group_id
        self.created_at = created_at
        self.ttl = ttl
        self.delivered_at = ""

    @property
    def run_id(self) -> int:
        """The run."""
        return self._run_id

    @property
    def message_id(self) -> str:
        """Object id of the message."""
        return self._message_id

    @property
    def src_node_id(self) -> int:
        """The sender."""
        return self._src_node_id

    @property
    def reply_to_message_id(self) -> str:
        """The instruction this message answers; empty for an instruction."""
        return self._reply_to_message_id

    @property
    def message_type(self) -> str:
        """``<category>`` or ``<category>.<action>``."""
        return self._message_type

    @message_type.setter
    def message_type(self, value: str) -> None:
        self._message_type = require_message_type(value)

    def __repr__(self) -> str:
        shown = (
            "run_id",
            "message_id",
            "src_node_id",
            "dst_node_id",
            "reply_to_message_id",
            "group_id",
            "created_at",
            "ttl",
            "message_type",
            "delivered_at",
        )
        return f"Metadata({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Metadata):
            raise NotImplementedError  # contract: app API §3.9
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]  # mutable


def stamp(metadata: Metadata, *, run_id: int, message_id: str, src_node_id: int) -> None:
    """Set, in place, what only the runtime decides: a message gets these when it is pushed."""
    vars(metadata).update(_run_id=run_id, _message_id=message_id, _src_node_id=src_node_id)
