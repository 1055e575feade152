import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.context import Context
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.core.errors import InvalidError
from flwr.core.ids import AccountId, FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import MAX_TREE_DEPTH
from flwr.core.message import Delivery, Envelope, MessageError, ObjectTree
from flwr.core.node import Node, NodeStatus
from flwr.core.origin import Origin
from flwr.core.run import FINAL, Run, RunStatus, RunType
from flwr.core.run_config import Config
from flwr.core.simulation import SimulationConfig
from flwr.proto import message_pb2, node_pb2, recorddict_pb2, run_pb2, transport_pb2
from flwr.wire.codec.config import (
    decode_config,
    decode_simulation,
    encode_config,
    encode_simulation,
    new_context,
)
from flwr.wire.codec.contexts import decode_context, encode_context
from flwr.wire.codec.messages import (
    decode_deliveries,
    decode_envelope,
    decode_tree,
    encode_deliveries,
    encode_envelope,
    encode_tree,
)
from flwr.wire.codec.nodes import decode_node, encode_node
from flwr.wire.codec.records import decode_record_dict, encode_record_dict
from flwr.wire.codec.runs import decode_run, decode_run_status, decode_time, encode_run

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
uint64s = st.integers(0, 2**64 - 1)
sint64s = st.integers(-(2**63), 2**63 - 1)
floats = st.floats(allow_nan=False)
object_ids = st.text("0123456789abcdef", min_size=64, max_size=64).map(ObjectId)
instants = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 2))  # noqa: DTZ001
config_values = st.one_of(st.booleans(), sint64s, floats, texts)
configs = st.dictionaries(texts, config_values, max_size=4)
maybe = st.none() | instants
trees = st.recursive(
    object_ids.map(ObjectTree),
    lambda below: st.builds(ObjectTree, object_ids, st.lists(below, max_size=3).map(tuple)),
    max_leaves=8,
).filter(lambda tree: depth(tree) <= MAX_TREE_DEPTH)
envelopes = st.builds(
    Envelope,
    message_id=object_ids.map(MessageId),
    run_id=uint64s.map(RunId),
    src_node_id=uint64s.map(NodeId),
    dst_node_id=uint64s.map(NodeId),
    reply_to=st.none() | object_ids.map(MessageId),
    group_id=texts,
    message_type=texts,
    created_at=floats,
    ttl=floats,
    error=st.none() | st.builds(MessageError, sint64s, texts),
)
origins = st.builds(
    Origin,
    commit=st.from_regex("[0-9a-f]{40}", fullmatch=True),
    url=st.sampled_from(["", "https://example.org/owner/repo"]),
    subdirectory=st.sampled_from(["", "apps/über"]),
)
runs = st.builds(
    Run,
    run_id=uint64s.map(RunId),
    fab_id=texts,
    fab_version=texts,
    fab_hash=texts.map(FabHash),
    override_config=configs,
    federation=texts,
    account_id=texts.map(AccountId),
    account_name=st.just(""),
    run_type=st.sampled_from(RunType),
    status=st.sampled_from(RunStatus),
    details=texts,
    pending_at=instants,
    starting_at=maybe,
    running_at=maybe,
    finished_at=maybe,
    bytes_sent=uint64s,
    bytes_recv=uint64s,
    clientapp_runtime_s=floats,
    origin=st.none() | origins,
)
nodes = st.builds(
    Node,
    node_id=uint64s.map(NodeId),
    public_key=st.binary(max_size=20),
    owner_id=texts.map(AccountId),
    owner_name=texts,
    status=st.sampled_from(NodeStatus),
    registered_at=instants,
    activated_at=maybe,
    deactivated_at=maybe,
    unregistered_at=maybe,
    # Whole milliseconds: what a double of Unix seconds keeps exactly for a few thousand years.
    online_until=st.none()
    | st.integers(0, 2**41).map(
        lambda ms: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(0, 0, 0, ms)
    ),
    heartbeat_interval_s=floats,
)
uint32s = st.none() | st.integers(0, 2**32 - 1)
simulations = st.builds(
    SimulationConfig,
    num_supernodes=uint32s,
    client_resources_num_cpus=uint32s,
    client_resources_num_gpus=st.none() | st.floats(allow_nan=False, width=32),
    backend=st.none() | texts,
    verbose=st.none() | st.booleans(),
    init_args_num_cpus=uint32s,
    init_args_num_gpus=uint32s,
    init_args_logging_level=st.none() | texts,
    init_args_log_to_driver=st.none() | st.booleans(),
)


def lists_of(*kinds: st.SearchStrategy) -> st.SearchStrategy:
    return st.one_of(*(st.lists(kind, max_size=3) for kind in kinds))


arrays = st.builds(
    Array,
    dtype=texts,
    shape=st.lists(st.integers(0, 2**31 - 1), max_size=3).map(tuple),
    stype=texts,
    data=st.binary(max_size=30),
)
metrics = st.one_of(uint64s, sint64s, floats, lists_of(uint64s, sint64s, floats))
settings = st.one_of(
    config_values,
    uint64s,
    st.binary(max_size=5),
    lists_of(st.booleans(), uint64s, sint64s, floats, texts, st.binary(max_size=5)),
)
records = st.dictionaries(
    texts,
    st.one_of(
        st.dictionaries(texts, arrays, max_size=3).map(ArrayRecord),
        st.dictionaries(texts, metrics, max_size=3).map(MetricRecord),
        st.dictionaries(texts, settings, max_size=4).map(ConfigRecord),
    ),
    max_size=4,
).map(RecordDict)
contexts = st.builds(
    Context,
    run_id=uint64s,
    node_id=uint64s,
    node_config=configs,
    state=records,
    run_config=configs,
)


def depth(tree: ObjectTree) -> int:
    return 1 + max(map(depth, tree.children), default=0)


@given(envelopes)
def test_an_envelope_survives(envelope: Envelope) -> None:
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(trees)
def test_a_tree_survives(tree: ObjectTree) -> None:
    assert decode_tree(encode_tree(tree)) == tree


@given(st.lists(st.builds(Delivery, envelopes, trees), max_size=3))
def test_deliveries_survive(deliveries: list[Delivery]) -> None:
    assert decode_deliveries(*encode_deliveries(deliveries)) == deliveries


@given(runs)
def test_a_run_survives(run: Run) -> None:
    assert decode_run(encode_run(run)) == run


@pytest.mark.row("S45")
def test_an_origin_is_skipped_by_peers_that_do_not_know_it() -> None:
    origin = Origin(commit="a" * 40)
    encoded = encode_run(replace(example_run(), origin=origin))
    known: Any = run_pb2.Run.FromString(encoded.SerializeToString())  # stubs miss the next call
    known.DiscardUnknownFields()  # what is left is what upstream reads
    assert decode_run(known) == decode_run(encode_run(example_run()))


@pytest.mark.parametrize("extra", [b"\x8a\xb5\x18\x02\x0a\x01", b"\x8a\xb5\x18\x03\x0a\x01x"])
def test_an_origin_that_is_none_is_refused(extra: bytes) -> None:
    encoded = encode_run(example_run())
    encoded.MergeFromString(extra)
    with pytest.raises(InvalidError):
        decode_run(encoded)


@given(nodes)
def test_a_node_survives(node: Node) -> None:
    assert decode_node(encode_node(node)) == node


@given(configs)
def test_a_config_survives_and_comes_out_sorted(config: Config) -> None:
    decoded = decode_config(
        new_context(RunId(1), NodeId(2), node_config=config, run_config={}).node_config
    )

    assert decoded == config
    assert [type(decoded[name]) for name in config] == [type(value) for value in config.values()]
    assert list(decoded) == sorted(config)


@given(simulations)
def test_simulation_settings_survive_with_what_was_not_said(config: SimulationConfig) -> None:
    assert decode_simulation(encode_simulation(config)) == config


@given(records)
def test_records_survive_in_order(whole: RecordDict) -> None:
    decoded = decode_record_dict(encode_record_dict(whole))

    assert decoded == whole
    assert list(decoded) == list(whole)
    assert [list(record) for record in decoded.values()] == [list(r) for r in whole.values()]


@given(contexts)
def test_a_context_survives(context: Context) -> None:
    assert decode_context(encode_context(context)) == context


def test_content_is_present_and_empty_unless_there_is_an_error() -> None:
    instruction = example_envelope()

    assert encode_envelope(instruction).HasField("content")
    failed = encode_envelope(replace(instruction, error=MessageError(0)))
    assert failed.HasField("error")
    assert not failed.HasField("content")


@pytest.mark.parametrize("fields", [(), ("content", "error")])
def test_a_message_with_neither_or_both_of_content_and_error_is_refused(
    fields: tuple[str, ...],
) -> None:
    message = message_pb2.Message()
    for field in fields:
        getattr(message, field).SetInParent()

    with pytest.raises(InvalidError, match="either content or an error"):
        decode_envelope(message)


def test_lists_of_unequal_length_are_refused() -> None:
    messages, _ = encode_deliveries([Delivery(example_envelope(), ObjectTree(ObjectId("a" * 64)))])

    with pytest.raises(InvalidError, match="1 messages came with 0 object trees"):
        decode_deliveries(messages, [])


def test_a_tree_that_names_no_object_is_refused() -> None:
    with pytest.raises(InvalidError):
        decode_tree(message_pb2.ObjectTree(object_id="../../etc/passwd"))


@pytest.mark.parametrize("status", RunStatus)
def test_only_a_finished_run_has_a_sub_status(status: RunStatus) -> None:
    encoded = encode_run(replace(example_run(), status=status)).status

    outcome = (encoded.status, encoded.sub_status)
    assert outcome == (("finished", str(status)) if status in FINAL else (str(status), ""))


@pytest.mark.parametrize(
    ("status", "sub_status"), [("", ""), ("finished", ""), ("finished", "running"), ("done", "")]
)
def test_a_status_nobody_knows_is_refused(status: str, sub_status: str) -> None:
    with pytest.raises(InvalidError, match="no status of a run"):
        decode_run_status(run_pb2.RunStatus(status=status, sub_status=sub_status))


def test_a_run_of_an_old_peer_without_type_and_times_is_read() -> None:
    old = run_pb2.Run(run_id=1, status=run_pb2.RunStatus(status="pending"))

    run = decode_run(old)

    assert (run.run_type, run.pending_at.year) == (RunType.SERVERAPP, 1970)
    with pytest.raises(InvalidError, match="no type of a run"):
        decode_run(run_pb2.Run(run_type="other", status=old.status))


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T12:00:00"])
def test_a_time_without_offset_or_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        decode_time(text)


def test_times_of_other_zones_become_utc() -> None:
    assert decode_time("2026-03-01T12:00:00+02:00") == datetime(2026, 3, 1, 10, tzinfo=UTC)


def test_a_node_with_an_unknown_status_is_refused() -> None:
    with pytest.raises(InvalidError):
        decode_node(node_pb2.NodeInfo(status="asleep", registered_at="2026-03-01T12:00:00+00:00"))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_integer_beyond_64_bits_is_refused_in_a_config(value: int) -> None:
    with pytest.raises(InvalidError, match="64 bits"):
        encode_config({"n": value})


@pytest.mark.parametrize("scalar", [transport_pb2.Scalar(), transport_pb2.Scalar(bytes=b"x")])
def test_a_config_value_that_is_none_or_bytes_is_refused(scalar: transport_pb2.Scalar) -> None:
    with pytest.raises(InvalidError):
        decode_config({"k": scalar})


def test_unsigned_scalars_of_legacy_peers_are_read() -> None:
    assert decode_config({"k": transport_pb2.Scalar(uint64=2**64 - 1)}) == {"k": 2**64 - 1}


def test_a_negative_simulation_setting_is_refused() -> None:
    with pytest.raises(InvalidError):
        encode_simulation(SimulationConfig(num_supernodes=-1))


@pytest.mark.parametrize("values", [2**64, [-1, 2**63]])
def test_integers_of_a_record_that_need_more_than_64_bits_are_refused(values: object) -> None:
    records = RecordDict({"m": MetricRecord({"n": values})})  # type: ignore[dict-item]

    with pytest.raises(InvalidError, match="64 bits"):
        encode_record_dict(records)


def test_records_without_a_value_are_refused() -> None:
    nothing = recorddict_pb2.RecordDict.Item(key="r")
    empty = recorddict_pb2.ConfigRecord(items=[recorddict_pb2.ConfigRecord.Item(key="c")])

    for item in (nothing, recorddict_pb2.RecordDict.Item(key="r", config_record=empty)):
        with pytest.raises(InvalidError, match="has no value"):
            decode_record_dict(recorddict_pb2.RecordDict(items=[item]))


def test_special_floats_survive() -> None:
    record = ConfigRecord({"inf": math.inf, "nan": math.nan, "zero": -0.0})

    decoded = decode_record_dict(encode_record_dict(RecordDict({"c": record})))["c"]

    assert [str(value) for value in decoded.values()] == ["inf", "nan", "-0.0"]


def example_envelope() -> Envelope:
    return Envelope(
        message_id=MessageId("a" * 64),
        run_id=RunId(1),
        src_node_id=NodeId(1),
        dst_node_id=NodeId(2),
        message_type="train",
        created_at=1772000000.5,
        ttl=43200.0,
    )


def example_run() -> Run:
    return Run(
        run_id=RunId(1),
        fab_id="acme/tiny",
        fab_version="1.0.0",
        fab_hash=FabHash("f" * 64),
        federation="@none/default",
        account_id=AccountId("<id:none>"),
        account_name="none",
        pending_at=datetime(2026, 3, 1, 12, tzinfo=UTC),
    )
