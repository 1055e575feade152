"""The four wrappers for central differential privacy."""

import logging
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.clientapp.mod import adaptiveclipping_mod, fixedclipping_mod
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import (
    Bulyan,
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdagrad,
    FedAvg,
    FedMedian,
    Krum,
    Strategy,
)
from flwr.serverapp.strategy.dp_adaptive_clipping import NORM_BIT_KEY, effective_noise_multiplier
from flwr.serverapp.strategy.dp_wrapper import CLIPPING_NORM_KEY, DifferentialPrivacyWrapper
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import (
    content,
    failure,
    floats,
    model,
    reply,
    weighted,
)

ServerFixed = DifferentialPrivacyServerSideFixedClipping
ClientFixed = DifferentialPrivacyClientSideFixedClipping
ServerAdaptive = DifferentialPrivacyServerSideAdaptiveClipping
ClientAdaptive = DifferentialPrivacyClientSideAdaptiveClipping


def wrappers(strategy: Strategy, noise: float, clients: int) -> list[DifferentialPrivacyWrapper]:
    return [
        ServerFixed(strategy, noise, 1.0, clients),
        ClientFixed(strategy, noise, 1.0, clients),
        ServerAdaptive(strategy, noise, clients, 1.0),
        ClientAdaptive(strategy, noise, clients, 1.0),
    ]


EACH = pytest.mark.parametrize("index", range(4), ids=["SF", "CF", "SA", "CA"])


def one_round(
    wrapper: Strategy, replies: list[Message], sent: ArrayRecord | None = None
) -> tuple[ArrayRecord | None, MetricRecord | None]:
    sent = model(1, 2) if sent is None else sent
    wrapper.configure_train(1, sent, ConfigRecord(), FakeGrid(2, lambda _: None))
    return wrapper.aggregate_train(1, replies)


def two(**metrics: Any) -> list[Message]:
    """Updates from [1, 2]: [3, 4] of length 5 and weight 1, [0, 0.5] of weight 3."""
    return [
        reply(weighted(model(4, 6), 1, **metrics)),
        reply(weighted(model(1, 2.5), 3, **metrics)),
    ]


def test_updates_are_clipped_against_the_model_sent() -> None:
    arrays, metrics = one_round(ServerFixed(FedAvg(), 0.0, 1.0, 2), two(loss=0.5))

    # Clipped to [1.6, 2.8], and [1, 2.5] as it was.
    assert floats(arrays) == pytest.approx([1.15, 2.575])
    assert metrics == {"loss": 0.5}


def test_updates_that_are_short_enough_stay_as_they_are() -> None:
    arrays, _ = one_round(ServerFixed(FedAvg(), 0.0, 5.0, 2), two())

    assert floats(arrays) == [1.75, 3.375]


def test_an_update_of_nothing_is_fine() -> None:
    assert floats(one_round(ServerFixed(FedAvg(), 0.0, 1.0, 1), [two()[0]])[0]) != [1, 2]
    same = [reply(weighted(model(1, 2)))]
    assert floats(one_round(ServerFixed(FedAvg(), 0.0, 1.0, 1), same)[0]) == [1, 2]
    assert floats(one_round(ServerAdaptive(FedAvg(), 0.0, 1), same)[0]) == [1, 2]


def test_clients_are_told_the_norm_and_not_clipped_again() -> None:
    grid = FakeGrid(2, lambda _: None)
    wrapper = ClientFixed(FedAvg(configrecord_key="c"), 0.0, 0.7, 2)

    messages = list(wrapper.configure_train(3, model(1, 2), ConfigRecord({"lr": 0.1}), grid))

    assert messages[0].content["c"] == {"lr": 0.1, "clipping_norm": 0.7, "server-round": 3}
    assert floats(wrapper.aggregate_train(3, two())[0]) == [1.75, 3.375]


def test_the_wrappers_and_the_mods_speak_of_the_same_keys() -> None:
    from flwr.clientapp.mod import centraldp_mods

    assert (CLIPPING_NORM_KEY, NORM_BIT_KEY) == (
        centraldp_mods.CLIPPING_NORM_KEY,
        centraldp_mods.NORM_BIT_KEY,
    )
    assert fixedclipping_mod is centraldp_mods.fixedclipping_mod
    assert adaptiveclipping_mod is centraldp_mods.adaptiveclipping_mod


@pytest.mark.parametrize(
    ("make", "stdev"),
    [
        (lambda n: ServerFixed(FedAvg(), 2.0, 3.0, n), 2 * 3 / 5),
        (lambda n: ClientFixed(FedAvg(), 2.0, 3.0, n), 2 * 3 / 5),
        # z' of 0.1 and a count blurred by 5 / 20; the noise is for 3.0, before the norm moves.
        (lambda n: ServerAdaptive(FedAvg(), 0.1, n, 3.0), 3 / math.sqrt(100 - 4) / 5),
        (lambda n: ClientAdaptive(FedAvg(), 0.1, n, 3.0), 3 / math.sqrt(100 - 4) / 5),
    ],
)
def test_noise_is_as_wide_as_stated(make: Any, stdev: float) -> None:
    zeros = ArrayRecord([np.zeros(100_000)])

    arrays, _ = one_round(make(5), [reply(weighted(zeros, 1, norm_bit=0))] * 5, zeros)

    assert arrays is not None
    noise = arrays["0"].numpy()
    assert noise.std() == pytest.approx(stdev, rel=0.02)
    assert abs(noise.mean()) < 0.02 * stdev


@EACH
def test_a_seeded_round_repeats(index: int) -> None:
    results = []
    for _ in range(2):
        np.random.seed(3)  # noqa: NPY002  what apps do
        replies = [*two(norm_bit=1) * 10]
        wrapper = wrappers(FedAvg(), 0.5, 20)[index]
        results.append((floats(one_round(wrapper, replies)[0]), wrapper.clipping_norm))

    assert results[0] == results[1]
    assert results[0][0] != [1.75, 3.375]


@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float16", "float16"), ("float32", "float32"), ("int64", "float64")]
)
@pytest.mark.parametrize("strategy", [FedAvg, Krum])
def test_noise_keeps_the_type_of_floats(strategy: Any, dtype: str, wanted: str) -> None:
    replies = [reply(weighted(model(4, 6, dtype=dtype)))]

    arrays, _ = one_round(ServerFixed(strategy(), 1.0, 1.0, 1), replies, model(1, 2, dtype=dtype))

    assert arrays is not None
    assert arrays["0"].dtype == wanted


@pytest.mark.parametrize(
    ("norm", "clipped", "after"),
    [
        (0.1, 2, 0.1 * math.exp(-0.2 * 0.5)),
        (4.0, 1, 4.0),
        (5.0, 0, 5.0 * math.exp(0.2 * 0.5)),  # as long as the norm is not too long
    ],
)
def test_the_norm_moves_by_the_share_of_updates_too_long(
    norm: float, clipped: int, after: float
) -> None:
    server = ServerAdaptive(FedAvg(), 0.0, 2, norm)
    one_round(server, two())
    client = ClientAdaptive(FedAvg(), 0.0, 2, norm)
    bits = [reply(weighted(model(1, 2), 1, norm_bit=int(i < clipped))) for i in range(2)]
    one_round(client, bits)

    assert server.clipping_norm == pytest.approx(after)
    assert client.clipping_norm == pytest.approx(after)


def test_the_next_round_uses_the_norm_that_moved() -> None:
    grid, config = FakeGrid(2, lambda _: None), ConfigRecord()
    wrapper = ClientAdaptive(FedAvg(), 0.0, 2, 0.1, target_clipped_quantile=0.25, clip_norm_lr=1)
    one_round(wrapper, two(norm_bit=1))

    wrapper.configure_train(2, model(1, 2), config, grid)

    assert config["clipping_norm"] == pytest.approx(0.1 * math.exp(-0.75))


@settings(deadline=None)
@given(st.floats(0.01, 5), st.floats(0.01, 50))
def test_model_and_count_together_are_as_private_as_the_model_alone(z: float, s: float) -> None:
    if z >= 2 * s:
        with pytest.raises(ValueError, match="clipped_count_stddev"):
            effective_noise_multiplier(z, s)
        return
    effective = effective_noise_multiplier(z, s)
    # Precisions add up: Theorem 1.
    assert effective**-2 + (2 * s) ** -2 == pytest.approx(z**-2, rel=1e-6)
    assert effective >= z


def test_much_more_noise_than_asked_for_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    ServerAdaptive(FedAvg(), 0.1, 5, clipped_count_stddev=0.1)
    assert caplog.messages == []
    ServerAdaptive(FedAvg(), 0.1, 5, clipped_count_stddev=0.051)
    assert "5.1 times the noise asked for" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"noise_multiplier": -1}, "noise_multiplier is -1"),
        ({"clipping_norm": 0}, "clipping norm is 0"),
        ({"num_sampled_clients": 0}, "num_sampled_clients is 0"),
    ],
)
def test_arguments_of_fixed_clipping_are_checked(arguments: Any, text: str) -> None:
    good = {"noise_multiplier": 1.0, "clipping_norm": 1.0, "num_sampled_clients": 2}
    for wrapper in (ServerFixed, ClientFixed):
        with pytest.raises(ValueError, match=text):
            wrapper(FedAvg(), **{**good, **arguments})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"noise_multiplier": -1}, "noise_multiplier is -1"),
        ({"num_sampled_clients": 0}, "num_sampled_clients is 0"),
        ({"initial_clipping_norm": 0}, "clipping norm is 0"),
        ({"target_clipped_quantile": 1.5}, "target_clipped_quantile is 1.5"),
        ({"target_clipped_quantile": -0.5}, "target_clipped_quantile is -0.5"),
        ({"clip_norm_lr": 0}, "clip_norm_lr is 0"),
        ({"clipped_count_stddev": -1}, "clipped_count_stddev is -1"),
        ({"clipped_count_stddev": 0.05}, "above half of noise_multiplier"),
        ({"noise_multiplier": 1.0}, "by default num_sampled_clients / 20"),
    ],
)
def test_arguments_of_adaptive_clipping_are_checked(arguments: Any, text: str) -> None:
    good = {"noise_multiplier": 0.1, "num_sampled_clients": 5}
    for wrapper in (ServerAdaptive, ClientAdaptive):
        with pytest.raises(ValueError, match=text):
            wrapper(FedAvg(), **{**good, **arguments})


def test_without_noise_the_count_is_exact_unless_told() -> None:
    assert ServerAdaptive(FedAvg(), 0.0, 5).clipped_count_stddev == 0
    assert ServerAdaptive(FedAvg(), 0.1, 5).clipped_count_stddev == 0.25
    assert ServerAdaptive(FedAvg(), 0.0, 5, clipped_count_stddev=1.0).clipped_count_stddev == 1


@EACH
def test_a_failure_skips_the_round(index: int, caplog: pytest.LogCaptureFixture) -> None:
    wrapper = wrappers(FedAvg(), 0.0, 3)[index]

    with caplog.at_level(logging.INFO, "flwr"):
        result = one_round(wrapper, [*two(norm_bit=1), failure(105)])

    assert result == (None, None)
    assert wrapper.clipping_norm == 1.0
    assert "Received error in reply from node 105: boom" in caplog.messages


STRANGERS = [model(1, 2, 3), ArrayRecord([np.array(["a", "b"])]), model(1, 2, dtype="c8")]


@pytest.mark.row("F34")
@EACH
@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_model_unlike_the_one_sent_skips_the_round_and_not_the_run(
    is_first: bool, stranger: ArrayRecord, index: int, caplog: pytest.LogCaptureFixture
) -> None:
    wrapper = wrappers(FedAvg(), 0.0, 3)[index]
    replies = [*two(norm_bit=1), reply(weighted(stranger, norm_bit=1), 105)]

    with caplog.at_level(logging.INFO, "flwr"):
        result = one_round(wrapper, replies[::-1] if is_first else replies)

    assert result == (None, None)
    assert wrapper.clipping_norm == 1.0
    assert replies[0].content["arrays"] == model(4, 6), "nobody's update was touched"
    assert any(
        line.startswith(
            "Received error in reply from node 105: refused, array '0' is numpy.ndarray"
        )
        for line in caplog.messages
    )


@pytest.mark.parametrize("index", [1, 3], ids=["CF", "CA"])
def test_what_a_strategy_itself_lets_pass_is_not_refused_around_it(index: int) -> None:
    class AnyShape(FedMedian):
        _keeps_shapes = False

        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            assert [len(floats(one.content["arrays"])) for one in replies] == [2, 3]
            return super().aggregate_train(server_round, list(replies)[:1])

    one, other = model(1, 2), model(1, 2, 3)
    replies = [reply(weighted(one, norm_bit=1)), reply(weighted(other, norm_bit=1), 105)]

    arrays, _ = one_round(wrappers(AnyShape(), 0.0, 2)[index], replies)

    assert floats(arrays) == [1, 2]


@EACH
def test_no_replies_and_a_strategy_that_skips_give_nothing(index: int) -> None:
    assert one_round(wrappers(FedAvg(), 0.0, 2)[index], []) == (None, None)
    assert one_round(wrappers(Bulyan(), 0.0, 2)[index], two(norm_bit=1)) == (None, None)


@EACH
def test_another_number_of_replies_is_warned_about(
    index: int, caplog: pytest.LogCaptureFixture
) -> None:
    arrays, _ = one_round(wrappers(FedAvg(), 0.0, 3)[index], two(norm_bit=1))

    assert arrays is not None
    assert "2 clients replied, but the noise is meant for num_sampled_clients=3" in caplog.text


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("make", [ServerFixed, ServerAdaptive])
def test_an_update_that_cannot_be_clipped_skips_the_round(
    make: Any, bad: float, caplog: pytest.LogCaptureFixture
) -> None:
    wrapper = ServerFixed(FedAvg(), 0.0, 1.0, 2) if make is ServerFixed else make(FedAvg(), 0.0, 2)
    replies = [two()[0], reply(weighted(model(bad, 1)), 105)]

    assert one_round(wrapper, replies) == (None, None)
    assert "node 105 is not finite" in caplog.text
    # The other one was not touched.
    assert replies[0].content["arrays"] == model(4, 6)


@pytest.mark.parametrize("make", [ServerFixed, ClientFixed])
def test_any_strategy_may_be_wrapped(make: Any) -> None:
    arrays, _ = one_round(make(FedAdagrad(eta=1.0, tau=0.0), 0.0, 9.0, 2), two())

    assert floats(arrays) == [2, 3]


def test_replies_must_fit_the_model_sent() -> None:
    for wrong in (model(1, 2, 3), ArrayRecord(), ArrayRecord([np.ones(2), np.ones(2)])):
        with pytest.raises(AggregationError, match="the model sent"):
            one_round(ServerFixed(FedAvg(), 0.0, 1.0, 1), [reply(weighted(wrong))])
    with pytest.raises(AggregationError, match="the model sent"):
        ServerFixed(FedAvg(), 0.0, 1.0, 2).aggregate_train(1, two())
    for records in (content(None, loss=1.0), content()):
        with pytest.raises(InconsistentMessageReplies, match="exactly one ArrayRecord"):
            one_round(ServerFixed(FedAvg(), 0.0, 1.0, 1), [reply(records)])


@pytest.mark.parametrize("metrics", [{}, {"norm_bit": [1]}])
def test_clients_must_tell_whether_they_clipped(metrics: Any) -> None:
    with pytest.raises(AggregationError, match="adaptiveclipping_mod"):
        one_round(ClientAdaptive(FedAvg(), 0.0, 2), [*two(norm_bit=1)[:1], *two(**metrics)[1:]])


@EACH
def test_evaluation_is_the_strategys_own(index: int) -> None:
    wrapper = wrappers(FedAvg(), 0.0, 2)[index]

    messages = list(
        wrapper.configure_evaluate(2, model(1), ConfigRecord(), FakeGrid(2, lambda _: None))
    )

    assert messages[0].content["config"] == {"server-round": 2}
    assert wrapper.aggregate_evaluate(2, [*two(loss=0.5), failure()]) == {"loss": 0.5}


@EACH
def test_the_summary_and_repr_show_what_is_wrapped(
    index: int, caplog: pytest.LogCaptureFixture
) -> None:
    wrapper = wrappers(FedAvg(), 0.0, 2)[index]
    with caplog.at_level(logging.INFO, "flwr"):
        wrapper.summary()

    assert caplog.messages[:2] == ["\t├──> DP settings:", "\t│\t├── Noise multiplier: 0.0"]
    assert any("Clipping norm: 1.0" in line for line in caplog.messages)
    assert "\t├──> Sampling:" in caplog.messages
    side = [
        "Server-Side Fixed",
        "Client-Side Fixed",
        "Server-Side Adaptive",
        "Client-Side Adaptive",
    ]
    assert repr(wrapper) == f"Differential Privacy Strategy Wrapper ({side[index]} Clipping)"


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=1, max_size=5),
    st.floats(0.01, 10),
)
def test_no_client_can_move_the_model_further_than_the_norm(
    updates: list[tuple[float, float]], norm: float
) -> None:
    replies = [reply(weighted(model(*u, dtype="float64"))) for u in updates]
    sent = model(0, 0, dtype="float64")

    arrays, _ = one_round(ServerFixed(FedAvg(), 0.0, norm, len(updates)), replies, sent)

    assert math.hypot(*floats(arrays)) <= norm * (1 + 1e-9)
