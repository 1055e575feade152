"""Replies of a round: apart from errors, and checked to have one form."""

from collections.abc import Iterable, Mapping

from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.recorddict import RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies


def accept_replies(
    replies: Iterable[Message],
    *,
    stage: str,
    weighted_by_key: str,
    with_arrays: bool,
) -> list[RecordDict]:
    """Log errors and return the contents of the other replies.

    Args:
        replies: of one round.
        stage: name of the aggregating function, for the log.
        weighted_by_key: metric every reply must have.
        with_arrays: each reply carries exactly one ArrayRecord.

    Raises:
        InconsistentMessageReplies: the contents cannot be aggregated.
    """
    received = list(replies)
    if not received:
        return []
    contents = [reply.content for reply in received if not reply.has_error()]
    failed = [reply for reply in received if reply.has_error()]
    logger.info("%s: Received %s results and %s failures", stage, len(contents), len(failed))
    for reply in failed:
        logger.info(
            "\t> Received error in reply from node %d: %s",
            reply.metadata.src_node_id,
            reply.error.reason,
        )
    validate_message_reply_consistency(contents, weighted_by_key, check_arrayrecord=with_arrays)
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
    if check_arrayrecord:
        _require_one_form("ArrayRecord", [_names(reply.array_records) for reply in replies])
    _require_one_form("MetricRecord", [_names(reply.metric_records) for reply in replies])
    for reply in replies:
        (metrics,) = reply.metric_records.values()
        if weighted_by_key not in metrics:
            raise InconsistentMessageReplies(
                f"the MetricRecord of a reply lacks the key '{weighted_by_key}', by which replies "
                f"are weighted; it has {list(metrics)}",
            )
        if isinstance(metrics[weighted_by_key], list):
            raise InconsistentMessageReplies(
                f"the weight '{weighted_by_key}' of a reply is a list, it must be one number",
            )


def _names(records: Mapping[str, Mapping[str, object]]) -> dict[str, frozenset[str]]:
    return {name: frozenset(record) for name, record in records.items()}


def _require_one_form(kind: str, forms: list[dict[str, frozenset[str]]]) -> None:
    for form in forms:
        if len(form) != 1:
            raise InconsistentMessageReplies(
                f"each reply must carry exactly one {kind}, one of them carries {len(form)}",
            )
        if form != forms[0]:
            raise InconsistentMessageReplies(
                f"the {kind} of all replies must have the same name and keys, "
                f"one has {_shown(forms[0])}, another {_shown(form)}",
            )


def _shown(form: dict[str, frozenset[str]]) -> str:
    return "; ".join(f"'{name}' with {sorted(keys)}" for name, keys in form.items())
