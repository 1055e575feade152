"""Message: an instruction, or a reply that carries content or an error."""

import warnings
from typing import Any, Final, overload

from flwr.app.console_log import logger
from flwr.app.error import Error
from flwr.app.metadata import Metadata
from flwr.app.recorddict import RecordDict
from flwr.core.clock import Clock, SystemClock
from flwr.core.limits import DEFAULT_TTL_S, TTL_TOLERANCE_S
from flwr.core.message import remaining_ttl

_clock: Clock = SystemClock()  # apps construct messages, so nothing can hand one in
_POSITIONS: Final = ("content", "dst_node_id", "message_type")
_NAMES: Final = frozenset({*_POSITIONS, "error", "ttl", "group_id", "reply_to", "metadata"})


class MessageInitializationError(TypeError):
    """The arguments fit none of the forms of ``Message``."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message
            or "Message takes (content, dst_node_id, message_type, *, ttl, group_id) for an "
            "instruction, or (content or error, *, reply_to, ttl) for a reply",
        )


class Message:
    """An instruction to a node, or a reply to one.

    An instruction: ``Message(content, dst_node_id, message_type, *, ttl=None, group_id=None)``.
    A reply: ``Message(content | error, *, reply_to, ttl=None)``; its life ends with the
    instruction's.

    Raises:
        MessageInitializationError: the arguments fit neither form.
        ValueError: ``message_type`` breaks the grammar.
    """

    @overload
    def __init__(
        self,
        content: RecordDict,
        dst_node_id: int,
        message_type: str,
        *,
        ttl: float | None = None,
        group_id: str | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self,
        content: RecordDict,
        *,
        reply_to: "Message",
        ttl: float | None = None,
    ) -> None: ...
    @overload
    def __init__(self, error: Error, *, reply_to: "Message", ttl: float | None = None) -> None: ...
    @overload
    def __init__(
        self,
        *,
        metadata: Metadata,
        content: RecordDict | None = None,
        error: Error | None = None,
    ) -> None: ...

    def __init__(self, *args: Any, **named: Any) -> None:
        given = _bind(args, named)
        content, error = given.pop("content", None), given.pop("error", None)
        if not _is_one_of(content, error):
            raise MessageInitializationError
        if given.keys() == {"metadata"}:
            metadata = given["metadata"]
        elif "reply_to" in given:
            metadata = _reply_metadata(given)
        else:
            metadata = _instruction_metadata(given)
            if error is not None:
                raise MessageInitializationError
        if not isinstance(metadata, Metadata):
            raise MessageInitializationError
        self._metadata = metadata
        self._content: RecordDict | None = content
        self._error: Error | None = error

    @property
    def metadata(self) -> Metadata:
        """Who sent this to whom, when, and for how long it counts."""
        return self._metadata

    @property
    def content(self) -> RecordDict:
        """The records.

        Raises:
            ValueError: the message carries an error instead.
        """
        if self._content is None:
            raise ValueError(
                "this message carries no content but an error; ask message.has_content() first",
            )
        return self._content

    @content.setter
    def content(self, value: RecordDict) -> None:
        if self._error is not None:
            raise ValueError("this message carries an error, so it cannot have content")
        self._content = value

    @property
    def error(self) -> Error:
        """Why there is no content.

        Raises:
            ValueError: the message carries content.
        """
        if self._error is None:
            raise ValueError(
                "this message carries no error but content; ask message.has_error() first",
            )
        return self._error

    @error.setter
    def error(self, value: Error) -> None:
        if self._content is not None:
            raise ValueError("this message has content, so it cannot carry an error")
        self._error = value

    def has_content(self) -> bool:
        """Tell whether the message carries content."""
        return self._content is not None

    def has_error(self) -> bool:
        """Tell whether the message carries an error."""
        return self._error is not None

    def create_reply(self, content: RecordDict, ttl: float | None = None) -> "Message":
        """Return ``Message(content, reply_to=self, ttl=ttl)``; deprecated, write that."""
        _warn_deprecated("create_reply", "Message(content, reply_to=message, ttl=...)")
        return Message(content, reply_to=self, ttl=ttl)

    def create_error_reply(self, error: Error, ttl: float | None = None) -> "Message":
        """Return ``Message(error, reply_to=self, ttl=ttl)``; deprecated, write that."""
        _warn_deprecated("create_error_reply", "Message(error, reply_to=message, ttl=...)")
        return Message(error, reply_to=self, ttl=ttl)

    def __repr__(self) -> str:
        has_error = self._error is not None
        load = f"error={self._error!r}" if has_error else f"content={self._content!r}"
        return f"{type(self).__name__}(metadata={self._metadata!r}, {load})"


def restore(
    metadata: Metadata,
    content: RecordDict | None = None,
    error: Error | None = None,
) -> Message:
    """Return a message as it was received: ``metadata`` as given, nothing stamped or clipped.

    Raises:
        MessageInitializationError: not exactly one of ``content`` and ``error``.
    """
    if not _is_one_of(content, error):
        raise MessageInitializationError
    message = Message.__new__(Message)  # what is told here needs no reading of arguments
    vars(message).update(_metadata=metadata, _content=content, _error=error)
    return message


def _bind(args: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Name the positional arguments and drop what is None; a name given twice is refused."""
    if len(args) > len(_POSITIONS) or not named.keys() <= _NAMES:
        raise MessageInitializationError
    positional = dict(zip(_POSITIONS, args, strict=False))
    if isinstance(positional.get("content"), Error):
        positional["error"] = positional.pop("content")
    if positional.keys() & {name for name, value in named.items() if value is not None}:
        raise MessageInitializationError
    return {name: value for name, value in (named | positional).items() if value is not None}


def _is_one_of(content: object, error: object) -> bool:
    if content is None:
        return isinstance(error, Error)
    return isinstance(content, RecordDict) and error is None


def _instruction_metadata(given: dict[str, Any]) -> Metadata:
    dst_node_id, message_type = given.pop("dst_node_id", None), given.pop("message_type", None)
    ttl, group_id = given.pop("ttl", None), given.pop("group_id", "")
    fits = isinstance(dst_node_id, int) and isinstance(message_type, str)
    if given or not fits or not isinstance(group_id, str):
        raise MessageInitializationError
    return Metadata(
        run_id=0,
        message_id="",
        src_node_id=0,
        dst_node_id=dst_node_id,
        reply_to_message_id="",
        group_id=group_id,
        created_at=_clock.now().timestamp(),
        ttl=_require_ttl(ttl) or DEFAULT_TTL_S,
        message_type=message_type,
    )


def _reply_metadata(given: dict[str, Any]) -> Metadata:
    reply_to, ttl = given.pop("reply_to"), _require_ttl(given.pop("ttl", None))
    if given or not isinstance(reply_to, Message):
        raise MessageInitializationError
    asked, now = reply_to.metadata, _clock.now().timestamp()
    longest = remaining_ttl(created_at=asked.created_at, ttl=asked.ttl, now=now)
    if ttl and ttl > longest + TTL_TOLERANCE_S:
        logger.warning(
            "Reply TTL cut from %.2f s to %.2f s, the rest of the instruction's life",
            ttl,
            longest,
        )
    return Metadata(
        run_id=asked.run_id,
        message_id="",
        src_node_id=asked.dst_node_id,
        dst_node_id=asked.src_node_id,
        reply_to_message_id=asked.message_id,
        group_id=asked.group_id,
        created_at=now,
        ttl=min(ttl or longest, longest),
        message_type=asked.message_type,
    )


def _require_ttl(ttl: object) -> float | None:
    if ttl is None:
        return None
    if not isinstance(ttl, int | float):
        raise MessageInitializationError
    return float(ttl)


def _warn_deprecated(old: str, new: str) -> None:
    warnings.warn(f"`Message.{old}` is deprecated, use `{new}`", DeprecationWarning, stacklevel=3)
