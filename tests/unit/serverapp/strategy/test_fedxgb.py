"""FedXgbBagging and FedXgbCyclic, with boosters cut down to what strategies look at."""

import json
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import Array, ArrayRecord, ConfigRecord, Message
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import FedXgbBagging, FedXgbCyclic
from flwr.serverapp.strategy.boosters import aggregate_bagging, grow
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted


def booster(name: str, iterations: int, *, parallel: int = 1, classes: int = 1) -> bytes:
    per_iteration = parallel * classes
    count = iterations * per_iteration
    grown = {
        "gbtree_model_param": {"num_parallel_tree": str(parallel), "num_trees": str(count)},
        "iteration_indptr": [i * per_iteration for i in range(iterations + 1)],
        "tree_info": [i % classes for i in range(count)],
        "trees": [{"id": i, "from": f"{name}{i}"} for i in range(count)],
    }
    return json.dumps(
        {"learner": {"attributes": {"of": name}, "gradient_booster": {"model": grown}}}
    ).encode()


def part(grown: bytes) -> Any:
    return json.loads(grown)["learner"]["gradient_booster"]["model"]


def names(grown: bytes) -> list[str]:
    return [tree["from"] for tree in part(grown)["trees"]]


def packed(grown: bytes) -> ArrayRecord:
    return ArrayRecord([np.frombuffer(grown, np.uint8)])


def unpacked(arrays: ArrayRecord | None) -> bytes:
    assert arrays is not None
    assert (arrays["0"].dtype, len(arrays["0"].shape)) == ("uint8", 1)
    return arrays["0"].numpy().tobytes()


def bagged(sent: bytes, *grown: bytes) -> bytes:
    strategy = FedXgbBagging()
    strategy.configure_train(1, packed(sent), ConfigRecord(), FakeGrid(2, lambda _: None))
    replies = [reply(weighted(packed(one))) for one in grown]
    return unpacked(strategy.aggregate_train(1, [failure(), *replies])[0])


def test_the_newest_trees_of_each_reply_are_appended_and_renumbered() -> None:
    grown = bagged(booster("old", 2), booster("a", 1), booster("b", 3))

    assert part(grown) == {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": "4"},
        "iteration_indptr": [0, 1, 2, 3, 4],
        "tree_info": [0, 0, 0, 0],
        "trees": [
            {"id": 0, "from": "old0"},
            {"id": 1, "from": "old1"},
            {"id": 2, "from": "a0"},
            {"id": 3, "from": "b0"},  # of its first iteration only
        ],
    }
    assert json.loads(grown)["learner"]["attributes"] == {"of": "old"}


def test_a_forest_per_iteration_is_taken_whole() -> None:
    grown = bagged(booster("old", 1, parallel=2), booster("a", 1, parallel=2))

    assert names(grown) == ["old0", "old1", "a0", "a1"]
    assert part(grown)["iteration_indptr"] == [0, 2, 4]


def test_each_class_gets_its_tree() -> None:
    grown = bagged(booster("old", 1, classes=3), booster("a", 1, classes=3))

    assert names(grown) == ["old0", "old1", "old2", "a0", "a1", "a2"]
    assert part(grown)["tree_info"] == [0, 1, 2, 0, 1, 2]


def test_a_booster_as_long_as_the_one_sent_costs_nobody_a_reply() -> None:
    old, same, longer = booster("old", 1), booster("new", 1), booster("longer", 1)
    assert len(old) == len(same) < len(longer)

    assert names(bagged(old, same, longer)) == ["old0", "new0", "longer0"]


def test_the_first_round_starts_from_the_first_reply_with_all_its_trees() -> None:
    assert bagged(b"", booster("a", 2)) == booster("a", 2)
    assert names(bagged(b"", booster("a", 2), booster("b", 2))) == ["a0", "a1", "b0"]


def test_metrics_are_weighted_means_and_failures_are_left_out() -> None:
    strategy = FedXgbBagging()
    strategy.configure_train(1, packed(b""), ConfigRecord(), FakeGrid(2, lambda _: None))
    replies = [
        failure(),
        reply(weighted(packed(booster("a", 1)), 3, auc=0.5)),
        reply(weighted(packed(booster("b", 1)), 1, auc=0.9)),
    ]

    assert strategy.aggregate_train(1, replies)[1] == {"auc": pytest.approx(0.6)}
    assert strategy.aggregate_train(1, [failure()]) == (None, None)


def test_later_rounds_grow_what_is_sent() -> None:
    strategy, sent = FedXgbBagging(), packed(b"")
    for server_round in (1, 2):
        strategy.configure_train(server_round, sent, ConfigRecord(), FakeGrid(2, lambda _: None))
        replies = [reply(weighted(packed(booster(f"{n}{server_round}.", 1)))) for n in "ab"]
        arrays, _ = strategy.aggregate_train(server_round, replies)
        assert arrays is not None
        sent = arrays

    assert names(unpacked(sent)) == ["a1.0", "b1.0", "a2.0", "b2.0"]


@settings(deadline=None)
@given(
    st.integers(0, 3),
    st.lists(st.integers(1, 3), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(1, 3),
)
def test_trees_are_counted_and_numbered_without_gaps(
    old: int, replies: list[int], parallel: int, classes: int
) -> None:
    def make(name: str, iterations: int) -> bytes:
        return booster(name, iterations, parallel=parallel, classes=classes)

    grown = part(grow(make("old", old), [make(str(i), n) for i, n in enumerate(replies)]))

    total = (old + len(replies)) * parallel * classes
    assert grown["gbtree_model_param"]["num_trees"] == str(total)
    assert [tree["id"] for tree in grown["trees"]] == list(range(total))
    assert len(grown["tree_info"]) == total
    assert grown["iteration_indptr"] == [
        i * parallel * classes for i in range(old + len(replies) + 1)
    ]


def test_two_boosters_may_be_joined_alone() -> None:
    assert names(aggregate_bagging(booster("a", 1), booster("b", 1))) == ["a0", "b0"]
    assert aggregate_bagging(b"", booster("b", 2)) == booster("b", 2)


LINEAR = json.dumps({"learner": {"gradient_booster": {"model": {"weights": []}}}}).encode()
DART = json.dumps({"learner": {"gradient_booster": {"gbtree": {}}}}).encode()


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (b"{L\x00ubjson", "save_raw"),
        (b"", "save_raw"),
        (b"[]", "gbtree"),
        (b'{"learner": 3}', "gbtree"),
        (LINEAR, "gbtree"),
        (DART, "gbtree"),
        (booster("a", 0), "no tree"),
    ],
)
def test_a_reply_that_is_no_booster_of_trees_is_an_error(bad: bytes, text: str) -> None:
    with pytest.raises(AggregationError, match=text):
        bagged(booster("old", 1), bad)


def test_the_model_is_exactly_one_array() -> None:
    two = ArrayRecord([np.ones(1), np.ones(1)])
    strategy, grid = FedXgbBagging(), FakeGrid(2, lambda _: None)
    with pytest.raises(InconsistentMessageReplies, match="exactly one array"):
        strategy.configure_train(1, two, ConfigRecord(), grid)
    with pytest.raises(AggregationError, match="configure_train"):
        strategy.aggregate_train(1, [reply(weighted(packed(b"")))])
    strategy.configure_train(1, packed(b""), ConfigRecord(), grid)
    with pytest.raises(InconsistentMessageReplies, match="exactly one array"):
        strategy.aggregate_train(1, [reply(weighted(two))])


def asked(strategy: FedXgbCyclic, server_round: int, nodes: list[int]) -> list[Message]:
    grid = FakeGrid(0, lambda _: None)
    grid.nodes = nodes
    return list(strategy.configure_train(server_round, model(1), ConfigRecord(), grid))


def turns(strategy: FedXgbCyclic, rounds: range, nodes: list[int]) -> list[int]:
    return [
        message.metadata.dst_node_id
        for server_round in rounds
        for message in asked(strategy, server_round, nodes)
    ]


def test_nodes_take_turns_in_an_order_that_stays() -> None:
    strategy = FedXgbCyclic()

    order = turns(strategy, range(1, 4), [101, 102, 103])

    assert sorted(order) == [101, 102, 103]
    assert turns(strategy, range(4, 8), [103, 101, 102]) == [*order, order[0]]
    assert list(strategy.registered_nodes) == order


def test_a_node_that_left_is_passed_over_and_keeps_its_place() -> None:
    strategy = FedXgbCyclic()
    first, second, third = turns(strategy, range(1, 4), [101, 102, 103])

    assert turns(strategy, range(1, 4), [second, first]) == [first, second, first]
    newcomer = turns(strategy, range(1, 4), [104, second, first])[2]
    assert newcomer == 104
    assert turns(strategy, range(1, 5), [101, 102, 103, 104]) == [first, second, third, 104]


def test_a_seeded_order_repeats() -> None:
    orders = []
    for _ in range(2):
        random.seed(3)
        orders.append(turns(FedXgbCyclic(), range(1, 9), list(range(101, 109))))

    assert orders[0] == orders[1]


def test_the_same_node_trains_and_evaluates() -> None:
    strategy, grid = FedXgbCyclic(arrayrecord_key="a"), FakeGrid(3, lambda _: None)
    for server_round in (1, 2, 5):
        halves = (strategy.configure_train, strategy.configure_evaluate)
        (train,), (evaluate,) = (
            list(half(server_round, model(1), ConfigRecord({"lr": 1}), grid)) for half in halves
        )

        assert train.metadata.dst_node_id == evaluate.metadata.dst_node_id
        assert (train.metadata.message_type, evaluate.metadata.message_type) == (
            "train",
            "evaluate",
        )
        assert train.content["a"] == model(1)
        assert train.content["config"] == {"lr": 1, "server-round": server_round}


def test_a_half_may_be_skipped_and_nothing_between() -> None:
    grid = FakeGrid(0, lambda _: None)
    assert FedXgbCyclic(fraction_train=0.0).configure_train(1, model(1), ConfigRecord(), grid) == []
    skips = FedXgbCyclic(fraction_evaluate=0.0)
    assert skips.configure_evaluate(1, model(1), ConfigRecord(), grid) == []
    for name in ("fraction_train", "fraction_evaluate"):
        fractions: dict[str, Any] = {name: 0.5}
        with pytest.raises(ValueError, match=f"{name} is 0.5"):
            FedXgbCyclic(**fractions)


def test_the_model_of_the_reply_is_taken_over() -> None:
    sent = ArrayRecord({"any": Array(np.arange(3))})
    replies = [failure(), reply(weighted(sent, 3, auc=0.5))]

    arrays, metrics = FedXgbCyclic().aggregate_train(1, replies)

    assert arrays == sent
    assert metrics == {"auc": 0.5}
    assert FedXgbCyclic().aggregate_train(1, []) == (None, None)
    assert floats(FedXgbCyclic().aggregate_train(1, [reply(weighted(model(1, 2)))])[0]) == [1, 2]
