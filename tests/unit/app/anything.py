"""Hypothesis strategies for whatever an app can put into a message or a Context."""

import pickle
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.app.metadata import stamp

T = TypeVar("T")

# A busy machine draws slowly; that says nothing about what is drawn.
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NAMES = st.text(max_size=4)
INTS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
BOOLS = st.booleans()
METRICS = st.one_of(INTS, FLOATS, st.lists(INTS, max_size=3), st.lists(FLOATS, max_size=3))
SCALARS = (INTS, FLOATS, st.text(max_size=5), st.binary(max_size=5), BOOLS)
CONFIGS = st.one_of(*SCALARS, *(st.lists(scalar, max_size=3) for scalar in SCALARS))

DTYPES = st.one_of(
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
    hnp.complex_number_dtypes(endianness="?", sizes=(64,)),
    hnp.boolean_dtypes(),
)
NDARRAYS = hnp.arrays(DTYPES, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
OTHER_ARRAYS = st.builds(
    Array,
    st.sampled_from(["", "float32"]),
    st.lists(st.integers(0, 9), max_size=2).map(tuple),
    st.sampled_from(["", "torch", "safetensors"]),
    st.binary(max_size=20),
)
ARRAYS = st.one_of(NDARRAYS.map(Array), OTHER_ARRAYS)


def _entries(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(NAMES, values, max_size=3)


ARRAY_ENTRIES, METRIC_ENTRIES, CONFIG_ENTRIES = map(_entries, (ARRAYS, METRICS, CONFIGS))
ARRAY_RECORDS = ARRAY_ENTRIES.map(ArrayRecord)
METRIC_RECORDS = METRIC_ENTRIES.map(MetricRecord)
CONFIG_RECORDS = CONFIG_ENTRIES.map(ConfigRecord)
RECORDS = st.one_of(ARRAY_RECORDS, METRIC_RECORDS, CONFIG_RECORDS)
RECORD_DICTS = _entries(RECORDS).map(RecordDict)

ERRORS = st.builds(Error, st.integers(0, 100), st.none() | st.text(min_size=1, max_size=9))
MESSAGE_TYPES = st.sampled_from(["train", "evaluate", "query", "train.warm_up", "query._x1"])
NODE_IDS = st.integers(2, 2**64 - 1)


@st.composite
def instructions(draw: st.DrawFn) -> Message:
    """Return an instruction, as its receiver sees it."""
    message = Message(
        draw(RECORD_DICTS),
        draw(NODE_IDS),
        draw(MESSAGE_TYPES),
        ttl=draw(st.floats(1, 1e6)),
        group_id=draw(st.text(max_size=5)),
    )
    stamp(
        message.metadata, run_id=draw(NODE_IDS), message_id=f"{draw(NODE_IDS):064x}", src_node_id=1
    )
    return message


@st.composite
def replies(draw: st.DrawFn) -> Message:
    """Return a reply, with content or an error."""
    asked = draw(instructions())
    if draw(BOOLS):
        return Message(draw(RECORD_DICTS), reply_to=asked)
    return Message(draw(ERRORS), reply_to=asked)


MESSAGES = st.one_of(instructions(), replies())
SETTINGS = st.dictionaries(NAMES, st.one_of(BOOLS, FLOATS, INTS, st.text(max_size=5)), max_size=3)
CONTEXTS = st.builds(Context, NODE_IDS, NODE_IDS, SETTINGS, RECORD_DICTS, SETTINGS)


def pickled(value: T) -> T:
    """Return what another process would get."""
    twin: T = pickle.loads(pickle.dumps(value))  # noqa: S301  our own bytes
    return twin
