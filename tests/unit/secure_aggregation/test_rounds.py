"""Whole rounds of secure aggregation: the average is right, whoever drops out when."""

import logging
from itertools import product
from typing import Any

import numpy as np
import pytest

from flwr.app import RecordDict
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key, Stage
from flwr.common.typing import NDArrays
from flwr.server.workflow.secure_aggregation import SecAggPlusWorkflow, SecAggWorkflow
from flwr.server.workflow.secure_aggregation import secaggplus_workflow as workflow_module
from tests.unit.secure_aggregation.federation import FIRST, Federation

ALL = (Stage.SETUP, Stage.SHARE_KEYS, Stage.COLLECT_MASKED_VECTORS, Stage.UNMASK)


def assert_close(got: NDArrays, wanted: NDArrays, federation: Federation, clients: int) -> None:
    # Each client's number is off by less than one step of 2 * 8 / 2^22, weighted by what the
    # others weigh; the sum is scaled by max_weight / (all examples).
    total = sum(federation.examples.values()) / 2
    error = clients * (16 / 4194304) * 1000 / total
    assert [array.shape for array in got] == [array.shape for array in wanted]
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=error)


@pytest.mark.parametrize(
    ("clients", "workflow"),
    [
        (2, SecAggWorkflow(0.5)),
        (3, SecAggPlusWorkflow(3, 2)),
        (5, SecAggWorkflow(0.6)),
        (5, SecAggPlusWorkflow(1, 1)),
        (8, SecAggPlusWorkflow(5, 3)),
        (8, SecAggPlusWorkflow(0.4, 0.5)),
        (12, SecAggPlusWorkflow(4, 2)),
        (4, SecAggPlusWorkflow(10, 3)),
    ],
)
def test_the_average_is_that_of_plain_fedavg(clients: int, workflow: SecAggPlusWorkflow) -> None:
    federation = Federation(clients)

    model = federation.train(workflow)

    assert_close(model, federation.plain_average(), federation, clients)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["drops", "breaks"])
@pytest.mark.parametrize("stage", ALL)
@pytest.mark.parametrize("workflow", [SecAggWorkflow(0.5), SecAggPlusWorkflow(5, 3)])
def test_clients_may_drop_out_at_every_stage(
    how: str, stage: str, workflow: SecAggPlusWorkflow
) -> None:
    lost = FIRST + 2
    federation = Federation(8)
    (federation.drops if how == "drops" else federation.breaks).add((lost, stage))

    model = federation.train(workflow)

    # At the last stage its update is in the sum already.
    counted = [n for n in federation.node_ids if n != lost or stage == Stage.UNMASK]
    assert_close(model, federation.plain_average(counted), federation, 8)


@pytest.mark.slow
def test_one_may_drop_out_at_each_stage_of_a_round() -> None:
    drops = {(FIRST + at, stage) for at, stage in enumerate(ALL)}
    federation = Federation(9, drops=drops)

    model = federation.train(SecAggWorkflow(4))

    assert_close(model, federation.plain_average(federation.node_ids[3:]), federation, 9)


@pytest.mark.slow
def test_a_client_that_is_back_takes_part_in_the_next_round() -> None:
    federation = Federation(6, drops={(FIRST, Stage.COLLECT_MASKED_VECTORS)})
    workflow = SecAggWorkflow(3)
    context = federation.legacy_context()
    federation.train(workflow, context)
    federation.drops.clear()

    first = federation.train(workflow, context)
    federation.model = first
    second = federation.train(workflow, context)

    assert_close(second, federation.plain_average(), federation, 6)


@pytest.mark.parametrize("stage", ALL)
def test_the_model_stays_as_it_is_when_too_few_are_left(
    stage: str, caplog: pytest.LogCaptureFixture
) -> None:
    federation = Federation(4, drops={(FIRST, stage), (FIRST + 1, stage)})

    with caplog.at_level(logging.INFO, "flwr"):
        model = federation.train(SecAggWorkflow(3))

    for got, old in zip(model, federation.model, strict=True):
        np.testing.assert_array_equal(got, old)
    assert caplog.messages[-1] == "Secure aggregation halted."
    assert "nsufficient available nodes" in caplog.text or "Not enough shares" in caplog.text


def test_a_round_says_how_it_went(caplog: pytest.LogCaptureFixture) -> None:
    federation = Federation(4, breaks={(FIRST, Stage.SETUP)})
    context = federation.legacy_context(
        fit_metrics_aggregation_fn=lambda results: {
            "nodes": str(sorted(r[1]["node"] for r in results))
        }
    )

    with caplog.at_level(logging.INFO, "flwr"):
        federation.train(SecAggWorkflow(0.5), context)

    assert caplog.messages == [
        "Secure aggregation commencing.",
        "configure_fit: strategy sampled 4 clients (out of 4)",
        "aggregate_fit: received 3 results and 1 failures",
        "Secure aggregation completed.",
    ]
    assert context.history.metrics_distributed_fit == {"nodes": [(1, "[102, 103, 104]")]}


def test_a_strategy_that_accepts_no_failures_gets_to_know_them() -> None:
    federation = Federation(4, breaks={(FIRST, Stage.SETUP)})

    model = federation.train(SecAggWorkflow(0.5), federation.legacy_context(accept_failures=False))

    np.testing.assert_array_equal(model[0], federation.model[0])


def test_values_are_clipped_and_many_clients_need_a_larger_modulus(
    caplog: pytest.LogCaptureFixture,
) -> None:
    federation = Federation(3)
    federation.updates = {n: [np.array([100.0, -100.0, 0.0])] for n in federation.node_ids}
    federation.examples = dict.fromkeys(federation.node_ids, 1000)
    federation.model = [np.zeros(3)]

    model = federation.train(SecAggPlusWorkflow(3, 2, modulus_range=1 << 23))

    np.testing.assert_allclose(model[0], [8, -8, 0], atol=1e-5)
    assert "modulus_range 8388608 is too small for 3 clients" in caplog.text
    assert federation.at(Stage.SETUP)[0].asked[Key.MOD_RANGE] == 1 << 24


def test_clients_without_examples_count_for_nothing(caplog: pytest.LogCaptureFixture) -> None:
    federation = Federation(3)
    federation.examples[FIRST] = 0

    model = federation.train(SecAggWorkflow(2))
    assert_close(model, federation.plain_average(), federation, 3)

    federation.examples = dict.fromkeys(federation.node_ids, 0)
    federation.train(SecAggWorkflow(2))
    assert "weights of all updates add up to zero" in caplog.text


def test_a_client_whose_update_holds_nan_is_left_out() -> None:
    federation = Federation(4)
    federation.updates[FIRST][0][3, 4] = np.nan

    model = federation.train(SecAggWorkflow(2))

    assert_close(model, federation.plain_average(federation.node_ids[1:]), federation, 4)


def test_an_update_of_another_shape_is_left_out() -> None:
    federation = Federation(5)
    for node_id in federation.node_ids:
        federation.updates[node_id] = [np.ones(3)]
    federation.model = [np.ones(3)]
    federation.updates[FIRST + 3] = [np.ones((2, 3))]

    model = federation.train(SecAggWorkflow(2))

    np.testing.assert_allclose(model[0], 2 * np.ones(3), atol=1e-3)


@pytest.mark.parametrize("generator", ["chacha20", None])
def test_strong_masks_need_everyone_to_have_them(
    generator: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    def forget(node_id: int, stage: str, content: RecordDict) -> None:
        if generator is None and (node_id, stage) == (FIRST, Stage.SETUP):
            del content.config_records[RECORD_KEY_CONFIGS][Key.MASK_GENERATORS]

    federation = Federation(3, tamper=forget)

    model = federation.train(SecAggWorkflow(2))

    assert_close(model, federation.plain_average(), federation, 3)
    for pair in federation.at(Stage.COLLECT_MASKED_VECTORS):
        assert pair.asked.get(Key.MASK_GENERATOR) == generator
    assert ("32 bits only" in caplog.text) is (generator is None)


def wrong_answers() -> dict[str, dict[str, Any]]:
    return {
        Stage.SETUP: {Key.PUBLIC_KEY_1: b"no key", Key.PUBLIC_KEY_2: "text"},
        Stage.SHARE_KEYS: {Key.DESTINATION_LIST: [1, 2], Key.CIPHERTEXT_LIST: [b"x"]},
        Stage.COLLECT_MASKED_VECTORS: {Key.MASKED_PARAMETERS: [b"x"]},
        Stage.UNMASK: {Key.NODE_ID_LIST: ["a"], Key.SHARE_LIST: [1]},
    }


@pytest.mark.parametrize(
    ("stage", "key", "value"),
    [
        (stage, key, value)
        for stage, pairs in wrong_answers().items()
        for key, value in pairs.items()
    ],
)
def test_a_malformed_answer_is_a_drop_out(stage: str, key: str, value: Any) -> None:
    def spoil(node_id: int, at: str, content: RecordDict) -> None:
        if (node_id, at) == (FIRST, stage):
            content.config_records[RECORD_KEY_CONFIGS][key] = value

    federation = Federation(5, tamper=spoil)

    model = federation.train(SecAggWorkflow(3))

    counted = federation.node_ids[0 if stage == Stage.UNMASK else 1 :]
    assert_close(model, federation.plain_average(counted), federation, 5)


def test_a_copied_public_key_is_refused() -> None:
    seen: list[Any] = []

    def copy_key(node_id: int, stage: str, content: RecordDict) -> None:
        if stage == Stage.SETUP:
            record = content.config_records[RECORD_KEY_CONFIGS]
            seen.append(record[Key.PUBLIC_KEY_1])
            record[Key.PUBLIC_KEY_1] = seen[0] if len(seen) == 2 else record[Key.PUBLIC_KEY_1]

    federation = Federation(5, tamper=copy_key)

    federation.train(SecAggWorkflow(3))

    assert len(federation.at(Stage.SHARE_KEYS)) == 4


@pytest.mark.parametrize("dropped", [False, True])
def test_a_wrong_share_never_changes_the_model(
    dropped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def alter(node_id: int, stage: str, content: RecordDict) -> None:
        if (node_id, stage) == (FIRST, Stage.UNMASK):
            record = content.config_records[RECORD_KEY_CONFIGS]
            shares: Any = record[Key.SHARE_LIST]
            record[Key.SHARE_LIST] = [s[:4] + bytes(b ^ 1 for b in s[4:]) for s in shares]

    drops = {(FIRST + 1, Stage.COLLECT_MASKED_VECTORS)} if dropped else set()
    federation = Federation(4, drops=drops, tamper=alter)

    model = federation.train(SecAggWorkflow(3 if dropped else 4 - 1))

    np.testing.assert_array_equal(model[0], federation.model[0])
    assert caplog.messages[-1] != "Secure aggregation completed."
    assert "share" in caplog.text


def test_a_lie_about_the_weight_is_noticed(caplog: pytest.LogCaptureFixture) -> None:
    def lie(node_id: int, stage: str, content: RecordDict) -> None:
        if (node_id, stage) == (FIRST, Stage.COLLECT_MASKED_VECTORS):
            content.metric_records["fitres.num_examples"]["num_examples"] = 7

    federation = Federation(4, tamper=lie)

    model = federation.train(SecAggWorkflow(3))

    np.testing.assert_array_equal(model[0], federation.model[0])
    assert "numbers of examples" in caplog.text


def test_only_a_legacy_context_will_do() -> None:
    federation = Federation(2)

    with pytest.raises(TypeError, match="LegacyContext"):
        SecAggWorkflow(2)(federation.grid, federation.contexts[FIRST])


def test_a_single_client_hides_behind_nobody(caplog: pytest.LogCaptureFixture) -> None:
    federation = Federation(1)

    federation.train(SecAggWorkflow(0.5))

    assert "The number of samples should be greater than 1." in caplog.messages
    assert not federation.exchanged


@pytest.mark.parametrize(
    "numbers",
    [
        {"num_shares": 2},
        {"num_shares": 0},
        {"num_shares": 0.0},
        {"num_shares": -1.0},
        {"reconstruction_threshold": 3},
        {"reconstruction_threshold": 0},
        {"reconstruction_threshold": 0.0},
        {"reconstruction_threshold": 1.5},
        {"max_weight": 0},
        {"clipping_range": 0.0},
        {"quantization_range": 0},
        {"quantization_range": 1.5},
        {"modulus_range": 5},
        {"modulus_range": 1 << 22},
        {"modulus_range": 2.0**32},
        {"modulus_range": (1 << 32) - 1},
    ],
)
def test_numbers_out_of_range_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(numbers))}`"):
        SecAggPlusWorkflow(**({"num_shares": 3, "reconstruction_threshold": 2} | numbers))


@pytest.mark.parametrize("name", ["num_shares", "reconstruction_threshold"])
@pytest.mark.parametrize("value", ["3", None, True])
def test_what_is_no_number_is_refused(name: str, value: Any) -> None:
    with pytest.raises(TypeError):
        SecAggPlusWorkflow(**({"num_shares": 3, "reconstruction_threshold": 2} | {name: value}))


def test_stages_can_be_overridden_and_see_the_state() -> None:
    seen: list[workflow_module.WorkflowState] = []

    class Watching(SecAggPlusWorkflow):
        def setup_stage(
            self, grid: Any, context: Any, state: workflow_module.WorkflowState
        ) -> bool:
            is_done = super().setup_stage(grid, context, state)
            seen.append(state)
            some = min(state.active_node_ids)
            state.nid_to_fitins[some].config_records["fitins.config"]["drop"] = True
            return is_done

    federation = Federation(4, drops={(FIRST, Stage.COLLECT_MASKED_VECTORS)})

    federation.train(Watching(3, 2))

    (state,) = seen
    assert state.sampled_node_ids - state.active_node_ids == {FIRST}
    told = {p.node_id: p.instruction for p in federation.at(Stage.COLLECT_MASKED_VECTORS)}
    assert told[FIRST].config_records["fitins.config"] == {"drop": True}
    assert told[FIRST + 1].config_records["fitins.config"] == {}


@pytest.mark.slow
def test_every_pair_of_drop_outs_is_either_survived_or_given_up() -> None:
    for one, other in product(ALL[1:], ALL[1:]):
        federation = Federation(6, drops={(FIRST, one), (FIRST + 3, other)})

        model = federation.train(SecAggPlusWorkflow(5, 3))

        counted = [
            node_id
            for node_id in federation.node_ids
            if not federation.drops & {(node_id, stage) for stage in ALL[:3]}
        ]
        assert_close(model, federation.plain_average(counted), federation, 6)
