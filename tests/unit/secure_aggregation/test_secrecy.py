"""What the server gets to see: enough for the sum, nothing of a single update."""

import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import combinations
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray

from flwr.app import Message
from flwr.client.mod.secure_aggregation.state import SecAggPlusState
from flwr.common.parameter import ndarray_to_bytes
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_STATE, Key, Stage
from flwr.crypto import shamir
from flwr.crypto.ecdsa import parse_private_key, public_pem
from flwr.crypto.quantize import quantize
from flwr.server.workflow.secure_aggregation import SecAggPlusWorkflow, SecAggWorkflow
from tests.unit.secure_aggregation.federation import FIRST, Federation

MODULUS = 1 << 32
TARGET = 1 << 22
CLIENTS = 5


@pytest.fixture(scope="module")
def federation() -> Federation:
    """A round after which two of five clients had left: one never answered, one not to the end."""
    drops = {(FIRST, Stage.COLLECT_MASKED_VECTORS), (FIRST + 1, Stage.UNMASK)}
    federation = Federation(CLIENTS, drops=drops)
    federation.train(SecAggWorkflow(3))
    return federation


def plain(federation: Federation, node_id: int) -> NDArray[np.int64]:
    """Return what the node would have sent without masks, but for the rounding."""
    weight = round(federation.examples[node_id] / 1000 * TARGET)
    trained = [m + u for m, u in zip(federation.model, federation.updates[node_id], strict=True)]
    whole = quantize([array * (weight / TARGET) for array in trained], 8.0, TARGET)
    return np.concatenate([[weight], *(array.ravel() for array in whole)])


def received(federation: Federation) -> Iterator[Message]:
    return (pair.reply for pair in federation.exchanged if pair.reply is not None)


def senders(federation: Federation) -> list[int]:
    return [p.node_id for p in federation.at(Stage.COLLECT_MASKED_VECTORS) if p.reply is not None]


def test_no_masked_update_is_or_resembles_a_plain_one(federation: Federation) -> None:
    assert len(senders(federation)) == CLIENTS - 1
    for sender in senders(federation):
        masked = federation.masked(sender)
        for node_id in federation.node_ids:
            update = plain(federation, node_id)
            assert masked.shape == update.shape
            assert np.count_nonzero(masked == update) == 0
            # 1,008 numbers: 5 standard deviations of the correlation of unrelated ones are 0.16.
            assert abs(np.corrcoef(masked, update)[0, 1]) < 0.16


def test_masked_updates_look_like_random_numbers(federation: Federation) -> None:
    for sender in senders(federation):
        masked = federation.masked(sender)
        counts, _ = np.histogram(masked, bins=16, range=(0, MODULUS))
        expected = len(masked) / 16
        chi_squared = float(((counts - expected) ** 2 / expected).sum())
        assert chi_squared < 50  # 15 degrees of freedom: one in 80,000 is above


def test_two_masked_updates_do_not_resemble_each_other(federation: Federation) -> None:
    for one, other in combinations(senders(federation), 2):
        correlation = np.corrcoef(federation.masked(one), federation.masked(other))[0, 1]
        assert abs(correlation) < 0.16


def test_no_subset_of_the_masked_updates_adds_up_to_a_plain_sum(federation: Federation) -> None:
    """Only all of them do, and only after the seeds of their own masks were given back."""
    who = senders(federation)
    for size in range(1, len(who) + 1):
        for chosen in combinations(who, size):
            masked = np.sum([federation.masked(n) for n in chosen], axis=0) % MODULUS
            exact = np.sum([plain(federation, n) for n in chosen], axis=0) % MODULUS
            far = np.abs((masked - exact + MODULUS // 2) % MODULUS - MODULUS // 2) > 2 * size
            assert np.count_nonzero(far) > 0.99 * len(exact)


def test_no_message_holds_the_arrays_of_an_update(federation: Federation) -> None:
    for message in received(federation):
        for record in message.content.array_records.values():
            assert not record
    everything = b"".join(_bytes(message) for message in received(federation))
    for node_id in federation.node_ids:
        for model, update in zip(federation.model, federation.updates[node_id], strict=True):
            for array in (update, model + update, (model + update).astype(np.float32)):
                # Less than 32 bytes of numbers may turn up by chance.
                if len(raw := ndarray_to_bytes(np.asarray(array))[128:]) >= 32:
                    assert raw[:32] not in everything


def test_no_message_holds_a_secret() -> None:
    federation = Federation(3)
    held = _states_before_unmasking(federation, SecAggWorkflow(2))

    everything = b"".join(_bytes(message) for message in received(federation))

    assert b"PUBLIC KEY" in everything
    assert b"PRIVATE KEY" not in everything
    for state in held.values():
        assert public_pem(parse_private_key(state.sk1).public_key()) == state.pk1
        for secret in (state.rd_seed, state.sk1[40:80], state.sk2[40:80]):
            assert secret not in everything


def test_the_server_gets_shares_of_one_secret_of_each_client_never_of_both(
    federation: Federation,
) -> None:
    lengths = defaultdict(set)
    for pair in federation.at(Stage.UNMASK):
        if pair.reply is not None:
            node_ids = cast("list[int]", pair.answered[Key.NODE_ID_LIST])
            shares = cast("list[bytes]", pair.answered[Key.SHARE_LIST])
            for node_id, share in zip(node_ids, shares, strict=True):
                lengths[node_id].add(len(share))

    seed_share, key_share = 4 + 48, 4 + 320
    assert lengths.pop(FIRST) == {key_share}
    assert all(found == {seed_share} for found in lengths.values())
    assert len(lengths) == CLIENTS - 1


@pytest.mark.slow
def test_fewer_shares_than_the_threshold_give_nothing() -> None:
    federation = Federation(CLIENTS)
    held = _states_before_unmasking(federation, SecAggWorkflow(3))
    for owner in federation.node_ids:
        seeds = [state.rd_seed_share_dict[owner] for state in held.values()]
        keys = [state.sk1_share_dict[owner] for state in held.values()]
        assert shamir.combine(random.sample(seeds, 3)) == held[owner].rd_seed
        assert shamir.combine(random.sample(keys, 3)) == held[owner].sk1
        for size in (1, 2):
            for few in combinations(range(CLIENTS), size):
                assert _combined([seeds[n] for n in few]) != held[owner].rd_seed
                assert _combined([keys[n] for n in few]) != held[owner].sk1


def test_shares_are_readable_by_their_receiver_alone() -> None:
    federation = Federation(3)
    held = _states_before_unmasking(federation, SecAggWorkflow(2))
    for pair in federation.at(Stage.SHARE_KEYS):
        for ciphertext in cast("list[bytes]", pair.answered[Key.CIPHERTEXT_LIST]):
            for state in held.values():
                for share in (*state.rd_seed_share_dict.values(), *state.sk1_share_dict.values()):
                    assert share[4:20] not in ciphertext


def test_every_round_has_new_keys_and_masks() -> None:
    federation = Federation(3)
    context = federation.legacy_context()
    workflow = SecAggPlusWorkflow(3, 2)
    federation.train(workflow, context)
    federation.train(workflow, context)

    keys = [pair.answered[Key.PUBLIC_KEY_1] for pair in federation.at(Stage.SETUP)]
    assert len({*keys}) == 6
    first, *_, last = (
        pair for pair in federation.at(Stage.COLLECT_MASKED_VECTORS) if pair.node_id == FIRST
    )
    assert first.answered[Key.MASKED_PARAMETERS] != last.answered[Key.MASKED_PARAMETERS]


def test_clients_keep_no_secret_after_a_round(federation: Federation) -> None:
    for node_id in federation.node_ids[2:]:
        state = _state(federation, node_id)
        assert not any((state.sk1, state.sk2, state.rd_seed, state.ss2_dict))
        assert not state.rd_seed_share_dict
        assert not state.sk1_share_dict


def _states_before_unmasking(
    federation: Federation, workflow: SecAggPlusWorkflow
) -> dict[int, SecAggPlusState]:
    federation.drops = {(node_id, Stage.UNMASK) for node_id in federation.node_ids}
    federation.train(workflow)
    return {node_id: _state(federation, node_id) for node_id in federation.node_ids}


def _state(federation: Federation, node_id: int) -> SecAggPlusState:
    return SecAggPlusState(**federation.contexts[node_id].state.config_records[RECORD_KEY_STATE])


def _combined(shares: list[bytes]) -> bytes | None:
    try:
        return shamir.combine(shares)
    except shamir.ShareError:
        return None


def _bytes(message: Message) -> bytes:
    """Return everything in a message that has bytes, one after the other."""
    found: list[bytes] = []

    def walk(value: Any) -> None:
        if isinstance(value, bytes):
            found.append(value)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    for record in message.content.values():
        for value in record.values():
            walk(getattr(value, "data", value))
    return b"\0".join(found)
