"""Replies of a round: apart from errors, and checked to have one form."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from flwr.app.array import Array, require_sound
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.console_log import logger
from flwr.app.error import Error
from flwr.app.message import Message, restore
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict, records_of
from flwr.core.message import ErrorCode
from flwr.serverapp.exception import InconsistentMessageReplies

Outline = Mapping[str, tuple[tuple[int, ...], str, str]]
"""Of the arrays of a model, by name: shape, how they are written, and of what kind of numbers.

Their type is left out: the mean of a model of float32 may be of replies in float16.
"""

_REAL: Final = re.compile(r"[<>=|]?(bool|u?int\d+|float\d+|[biuf]\d+)")  # numpy's names
_SHOWN: Final = 40  # characters of what somebody else chose

_Form = dict[str, frozenset[str]]


def whole(content: RecordDict) -> RecordDict:
    """Return all there is; see ``accept_replies``."""
    return content


def without_arrays(content: RecordDict) -> RecordDict:
    """Return what is small of a content; see ``accept_replies``."""
    return RecordDict({**content.metric_records, **content.config_records})


def accept_replies(
    replies: Iterable[Message],
    *,
    stage: str,
    weighted_by_key: str,
    with_arrays: bool,
    keep: Callable[[RecordDict], RecordDict] = whole,
) -> list[RecordDict]:
    """Log errors and return the contents of the other replies.

    Args:
        replies: of one round; taken one after the other, once, and not kept.
        stage: name of the aggregating function, for the log.
        weighted_by_key: metric every reply must have.
        with_arrays: every reply must have one ArrayRecord.
        keep: sees each content as it arrives and says what is returned of it.

    Raises:
        InconsistentMessageReplies: the contents cannot be aggregated.
    """
    forms = _Forms(weighted_by_key, with_arrays=with_arrays)
    contents: list[RecordDict] = []
    failed: list[tuple[int, str | None]] = []
    received, wrong = 0, None
    for reply in replies:
        if reply.has_error():
            failed.append((reply.metadata.src_node_id, reply.error.reason))
            continue
        received += 1
        if wrong is None:
            try:
                forms.require(reply.content)
                contents.append(keep(reply.content))
            except InconsistentMessageReplies as error:
                wrong = error
    if received or failed:
        logger.info("%s: Received %s results and %s failures", stage, received, len(failed))
    for node_id, reason in failed:
        logger.info("\t> Received error in reply from node %d: %s", node_id, reason)
    if wrong is not None:
        raise wrong
    return contents


def validate_message_reply_consistency(
    replies: list[RecordDict],
    weighted_by_key: str,
    check_arrayrecord: bool,
) -> None:
    """Check that replies carry the same names, and a weight.

    Raises:
        InconsistentMessageReplies: naming what differs.
    """
    forms = _Forms(weighted_by_key, with_arrays=check_arrayrecord)
    for reply in replies:
        forms.require(reply)


def without_lies(reply: Message) -> Message:
    """Return a reply as it is, or an error in its place if its arrays are not what they say.

    So a node that sends damaged arrays costs its own reply, not the run: no strategy meets them.
    Only headers are read.
    """
    if reply.has_error():
        return reply
    for record_name, record in records_of(reply.content, ArrayRecord).items():
        for name, array in record.items():
            try:
                require_sound(array)
            except ValueError as cause:
                return _refused(reply, f"array '{name}' of '{record_name}' is damaged: {cause}")
    return reply


def without_misfits(replies: Iterable[Message], sent: Outline) -> Iterator[Message]:
    """Yield replies, and an error in place of each that is unlike the model sent.

    Those wait until all others are heard: where no reply is like the model, the app may
    rightly change it, and all replies are yielded as they are.
    """
    waiting: list[tuple[Message, str]] = []
    is_kept = False
    for reply in replies:
        misfit = None if reply.has_error() else _misfit(reply.content, sent)
        if misfit is not None:
            waiting.append((reply, misfit))
            continue
        is_kept = is_kept or reply.has_content()
        yield reply
    for reply, misfit in waiting:
        yield _refused(reply, misfit) if is_kept else reply


def outline(record: ArrayRecord) -> Outline:
    """Return what replies to a model are held against; it keeps nothing of the model itself."""
    return {name: (array.shape, array.stype, _kind(array)) for name, array in record.items()}


def _misfit(content: RecordDict, sent: Outline) -> str | None:
    for record in records_of(content, ArrayRecord).values():
        for name, found in outline(record).items():
            if (wanted := sent.get(name, found)) != found:
                return f"array '{name}' is {_described(found)}, the model sent {_described(wanted)}"
    return None


def _kind(array: Array) -> str:
    return "of real numbers" if _REAL.fullmatch(array.dtype) else "of others"


def _described(form: tuple[tuple[int, ...], str, str]) -> str:
    shape, stype, kind = form
    return f"{stype[:_SHOWN]} {kind}, shape {shape}"


def _refused(reply: Message, cause: str) -> Message:
    return restore(reply.metadata, error=Error(ErrorCode.UNKNOWN, f"refused, {cause}"))


class _Forms:
    """What the first reply looks like, and whether the others look like it."""

    def __init__(self, weighted_by_key: str, *, with_arrays: bool) -> None:
        self._weight_key, self._with_arrays = weighted_by_key, with_arrays
        self._first: dict[str, _Form] = {}

    def require(self, reply: RecordDict) -> None:
        """Check one more reply.

        Raises:
            InconsistentMessageReplies: naming what differs.
        """
        if self._with_arrays:
            self._require_same("ArrayRecord", _names(records_of(reply, ArrayRecord)))
        metric_records = records_of(reply, MetricRecord)
        self._require_same("MetricRecord", _names(metric_records))
        (metrics,) = metric_records.values()
        if self._weight_key not in metrics:
            raise InconsistentMessageReplies(
                f"the MetricRecord of a reply lacks the key '{self._weight_key}', by which replies "
                f"are weighted; it has {list(metrics)}",
            )
        if isinstance(metrics[self._weight_key], list):
            raise InconsistentMessageReplies(
                f"the weight '{self._weight_key}' of a reply is a list, it must be one number",
            )

    def _require_same(self, kind: str, form: "_Form") -> None:
        if len(form) != 1:
            raise InconsistentMessageReplies(
                f"each reply must carry exactly one {kind}, one of them carries {len(form)}",
            )
        if form != self._first.setdefault(kind, form):
            raise InconsistentMessageReplies(
                f"the {kind} of all replies must have the same name and keys, "
                f"one has {_shown(self._first[kind])}, another {_shown(form)}",
            )


def _names(records: Mapping[str, Mapping[str, object]]) -> _Form:
    return {name: frozenset(record) for name, record in records.items()}


def _shown(form: _Form) -> str:
    return "; ".join(f"'{name}' with {sorted(keys)}" for name, keys in form.items())
