"""What a client does in each stage of SecAgg+: its secrets, their shares, its masked update.

Each function takes the client's state, changes it, and returns the entries of the reply.  What a
client must never do lies here: give away both secrets of a neighbour, or its own.

Sources: Bonawitz et al., CCS 2017, doi:10.1145/3133956.3133982 (the protocol); Bell et al., CCS
2020, doi:10.1145/3372297.3417885 (SecAgg+: neighbours instead of everyone with everyone).
"""

import secrets
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import prod
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from flwr.app.configrecord import ConfigRecord, ConfigRecordValues
from flwr.app.console_log import logger
from flwr.app.npy import encode_ndarray
from flwr.client.mod.secure_aggregation.state import SecAggPlusState
from flwr.common.secure_aggregation.secaggplus_constants import Key
from flwr.common.secure_aggregation.secaggplus_utils import (
    mask_sign,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)
from flwr.crypto import shamir
from flwr.crypto.ecdsa import new_private_key, parse_private_key, parse_public_key
from flwr.crypto.ecdsa import private_pem as private_pem_of
from flwr.crypto.ecdsa import public_pem as public_pem_of
from flwr.crypto.masks import MaskGenerator, is_modulus, make_mask, reduce
from flwr.crypto.quantize import quantize
from flwr.crypto.symmetric import agree, decrypt, encrypt

Reply = dict[str, ConfigRecordValues]

SEED_BYTES: Final = 32
_LEAST: Final = 2  # clients, shares, threshold: a sum of one hides nothing


def setup(state: SecAggPlusState, configs: ConfigRecord) -> Reply:
    """Take the numbers of the round, make two key pairs, return their public halves.

    Raises:
        ValueError: with these numbers nothing would be protected, or nothing would add up.
    """
    numbers = cast("dict[str, Any]", configs)
    state.sample_num, state.share_num = numbers[Key.SAMPLE_NUMBER], numbers[Key.SHARE_NUMBER]
    state.threshold = numbers[Key.THRESHOLD]
    state.clipping_range = numbers[Key.CLIPPING_RANGE]
    state.target_range, state.mod_range = numbers[Key.TARGET_RANGE], numbers[Key.MOD_RANGE]
    state.max_weight = float(numbers[Key.MAX_WEIGHT])
    _check_numbers(state)
    mask_key, share_key = new_private_key(), new_private_key()
    state.sk1, state.pk1 = private_pem_of(mask_key), public_pem_of(mask_key.public_key())
    state.sk2, state.pk2 = private_pem_of(share_key), public_pem_of(share_key.public_key())
    return {
        Key.PUBLIC_KEY_1: state.pk1,
        Key.PUBLIC_KEY_2: state.pk2,
        Key.MASK_GENERATORS: [str(generator) for generator in MaskGenerator],
    }


def share_keys(state: SecAggPlusState, configs: ConfigRecord) -> Reply:
    """Split the seed of the own mask and the key of the others among the neighbours.

    Raises:
        ValueError: the neighbours are too few or too many, or the own keys are not among theirs.
    """
    keys = {int(name): (pair[0], pair[1]) for name, pair in _pairs(configs)}
    _check_keys(state, keys)
    state.public_keys_dict = keys
    state.rd_seed = secrets.token_bytes(SEED_BYTES)
    seed_shares = shamir.split(state.rd_seed, state.threshold, state.share_num)
    key_shares = shamir.split(state.sk1, state.threshold, state.share_num)
    share_key = parse_private_key(state.sk2)
    ciphertexts: dict[int, bytes] = {}
    for node_id, seed_share, key_share in zip(keys, seed_shares, key_shares, strict=False):
        if node_id == state.nid:
            state.rd_seed_share_dict[node_id] = seed_share
            state.sk1_share_dict[node_id] = key_share
            continue
        shared = agree(share_key, parse_public_key(keys[node_id][1]))
        state.ss2_dict[node_id] = shared
        plaintext = share_keys_plaintext_concat(state.nid, node_id, seed_share, key_share)
        ciphertexts[node_id] = encrypt(shared, plaintext)
    return {
        Key.DESTINATION_LIST: list(ciphertexts),
        Key.CIPHERTEXT_LIST: list(ciphertexts.values()),
    }


def take_shares(state: SecAggPlusState, configs: ConfigRecord) -> MaskGenerator:
    """Keep what the neighbours shared; return what makes the masks of this round.

    Raises:
        ValueError: a share is from a stranger or not for this client, or they are too few.
    """
    sources = cast("list[int]", configs[Key.SOURCE_LIST])
    ciphertexts = cast("list[bytes]", configs[Key.CIPHERTEXT_LIST])
    if len(sources) != len(ciphertexts) or len(set(sources)) != len(sources):
        raise ValueError(f"{len(ciphertexts)} ciphertexts from the nodes {sources}: one each")
    if len(sources) + 1 < state.threshold:
        raise ValueError(
            f"only {len(sources)} neighbours shared their keys, the threshold is {state.threshold}"
        )
    for source, ciphertext in zip(sources, ciphertexts, strict=True):
        if source not in state.ss2_dict:
            raise ValueError(f"node {source}, of whom there are shares, is no neighbour")
        plaintext = decrypt(state.ss2_dict[source], ciphertext)
        written_by, written_for, seed_share, key_share = share_keys_plaintext_separate(plaintext)
        if (written_by, written_for) != (source, state.nid):
            raise ValueError(f"the shares of node {source} were made by or for another node")
        state.rd_seed_share_dict[source] = seed_share
        state.sk1_share_dict[source] = key_share
    return MaskGenerator(str(configs.get(Key.MASK_GENERATOR, MaskGenerator.MT19937)))


def mask_update(
    state: SecAggPlusState,
    generator: MaskGenerator,
    num_examples: int,
    updated: Sequence[NDArray[Any]],
) -> Reply:
    """Return the weight and the weighted, quantized arrays, hidden by the masks.

    Raises:
        ValueError: the number of examples is negative, or an array holds NaN.
    """
    if generator is MaskGenerator.MT19937:
        logger.warning(
            "The masks of this round have 32 bits only: the server or another client runs a "
            "release that has no better ones"
        )
    weight = _weight(state, num_examples)
    vector = _quantized(state, weight, updated)
    for mask, sign in _masks(state, generator, len(vector)):
        np.add(vector, mask, out=vector) if sign > 0 else np.subtract(vector, mask, out=vector)
    reduce(vector, state.mod_range)
    shapes = [(1,), *(array.shape for array in updated)]
    ends = list(accumulate(map(prod, shapes)))
    parts = np.split(vector, ends[:-1])
    masked = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
    return {Key.MASKED_PARAMETERS: [encode_ndarray(array) for array in masked]}


def unmask(state: SecAggPlusState, configs: ConfigRecord) -> Reply:
    """Return one share of each neighbour: of its seed if it is active, of its key if it is dead.

    Afterwards the state holds no secret any more.

    Raises:
        ValueError: a node is asked for twice or unknown, or too few are active: answering would
            help to uncover an update.
    """
    active = cast("list[int]", configs[Key.ACTIVE_NODE_ID_LIST])
    dead = cast("list[int]", configs[Key.DEAD_NODE_ID_LIST])
    asked = [*active, *dead]
    if len(set(asked)) != len(asked):
        raise ValueError("a node is asked for twice: both its secrets would uncover its update")
    if unknown := sorted(set(asked) - state.rd_seed_share_dict.keys()):
        raise ValueError(f"there are no shares of the nodes {unknown}")
    if len(active) < state.threshold:
        raise ValueError(f"{len(active)} nodes are active, the threshold is {state.threshold}")
    if state.nid in dead:
        raise ValueError("this node answered, it cannot be among the dead")
    shares = [state.rd_seed_share_dict[n] for n in active] + [state.sk1_share_dict[n] for n in dead]
    _forget(state)
    return {Key.NODE_ID_LIST: asked, Key.SHARE_LIST: shares}


def _check_numbers(state: SecAggPlusState) -> None:
    if not _LEAST <= state.threshold <= state.share_num or state.sample_num < _LEAST:
        raise ValueError(
            f"threshold {state.threshold} of {state.share_num} shares among {state.sample_num} "
            "clients protects nothing: threshold and clients must be at least 2"
        )
    if not (state.clipping_range > 0 and state.target_range > 0 and state.max_weight > 0):
        raise ValueError("clipping range, target range and maximal weight must be positive")
    if not is_modulus(state.mod_range) or state.mod_range <= state.target_range:
        raise ValueError(
            f"the modulus {state.mod_range} must be a power of two above {state.target_range}"
        )


def _pairs(configs: ConfigRecord) -> Iterator[tuple[str, list[bytes]]]:
    for name, value in configs.items():
        if name != Key.STAGE:
            yield name, cast("list[bytes]", value)


def _check_keys(state: SecAggPlusState, keys: dict[int, tuple[bytes, bytes]]) -> None:
    if keys.get(state.nid) != (state.pk1, state.pk2):
        raise ValueError("the keys this client sent are not among those it received")
    if not state.threshold <= len(keys) <= state.share_num:
        raise ValueError(
            f"{len(keys)} nodes have keys; the threshold is {state.threshold}, and there are "
            f"{state.share_num} shares"
        )
    if len({key for pair in keys.values() for key in pair}) != 2 * len(keys):
        raise ValueError("a public key appears twice: some node is not what it seems")


def _weight(state: SecAggPlusState, num_examples: int) -> int:
    if num_examples < 0:
        raise ValueError(f"the number of examples is {num_examples}, it must not be negative")
    if num_examples > state.max_weight:
        logger.warning(
            "Potential overflow warning: the provided weight (%s) exceeds the specified "
            "max_weight (%s). This may lead to overflow issues.",
            num_examples,
            state.max_weight,
        )
    return round(num_examples / state.max_weight * state.target_range)


def _quantized(
    state: SecAggPlusState, weight: int, updated: Sequence[NDArray[Any]]
) -> NDArray[np.int64]:
    """Return the weight, then every number of ``updated`` times the weight's fraction."""
    vector = np.empty(1 + sum(array.size for array in updated), np.int64)
    vector[0], start = weight, 1
    for array in updated:
        weighted = np.asarray(array, np.float64) * (weight / state.target_range)
        (whole,) = quantize([weighted], state.clipping_range, state.target_range)
        vector[start : start + array.size] = whole.ravel()
        start += array.size
    return vector


def _masks(
    state: SecAggPlusState, generator: MaskGenerator, length: int
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield the own mask, then one per neighbour that shared, with the sign it is added with."""
    yield make_mask(generator, state.rd_seed, state.mod_range, length), 1
    mask_key = parse_private_key(state.sk1)
    for node_id in state.sk1_share_dict:
        if node_id != state.nid:
            seed = agree(mask_key, parse_public_key(state.public_keys_dict[node_id][0]))
            yield make_mask(generator, seed, state.mod_range, length), mask_sign(state.nid, node_id)


def _forget(state: SecAggPlusState) -> None:
    blank = SecAggPlusState()
    for name in ("sk1", "sk2", "rd_seed"):
        setattr(state, name, b"")
    for name in ("rd_seed_share_dict", "sk1_share_dict", "ss2_dict", "public_keys_dict"):
        setattr(state, name, getattr(blank, name))
