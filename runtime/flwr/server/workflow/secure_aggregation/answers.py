"""What clients answer in a round of SecAgg+: checked, and taken into the state of the round.

Functions here raise KeyError, TypeError or ValueError for an answer that is not what it should be;
its sender then counts as dropped out.
"""

from collections.abc import Iterable
from typing import cast

import numpy as np

from flwr.app.npy import decode_ndarray
from flwr.app.recorddict import RecordDict
from flwr.common import recorddict_compat as compat
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.common.typing import NDArrays
from flwr.crypto.ecdsa import parse_public_key
from flwr.crypto.masks import reduce
from flwr.server.workflow.secure_aggregation.workflow_state import WorkflowState


def _list(content: RecordDict, key: str, kind: type) -> list[object]:
    """Return a list of an answer of which every element is a ``kind``."""
    value = content.config_records[RECORD_KEY_CONFIGS][key]
    if not isinstance(value, list) or not all(type(item) is kind for item in value):
        raise TypeError(f"'{key}' must be a list of {kind.__name__}")
    return [*value]


def take_keys(state: WorkflowState, nid: int, content: RecordDict) -> None:
    """Take the public keys of a client, and what it can make masks with."""
    answer = content.config_records[RECORD_KEY_CONFIGS]
    keys = [answer[Key.PUBLIC_KEY_1], answer[Key.PUBLIC_KEY_2]]
    for key in keys:
        if not isinstance(key, bytes):
            raise TypeError("public keys must be bytes")
        parse_public_key(key)
    known = {key for pair in state.nid_to_publickeys.values() for key in pair}
    if len({*keys} | known) != len(known) + 2:
        raise ValueError("a public key is another's, or both are the same")
    state.nid_to_publickeys[nid] = cast("list[bytes]", keys)
    generators = answer.get(Key.MASK_GENERATORS, [])
    state.nid_to_generators[nid] = (
        {str(name) for name in generators} if isinstance(generators, list) else set()
    )


def ciphertexts_in(content: RecordDict, wanted: set[int]) -> dict[int, bytes]:
    """Return the shares a client made, by receiver; there must be one for each of ``wanted``."""
    destinations = cast("list[int]", _list(content, Key.DESTINATION_LIST, int))
    ciphertexts = cast("list[bytes]", _list(content, Key.CIPHERTEXT_LIST, bytes))
    made = dict(zip(destinations, ciphertexts, strict=True))
    if made.keys() != wanted:
        raise ValueError(f"there are shares for {sorted(made)}, needed are {sorted(wanted)}")
    return made


def shares_in(content: RecordDict, wanted: Iterable[int]) -> dict[int, bytes]:
    """Return the shares a client gave back, by the node whose secret they are of."""
    node_ids = cast("list[int]", _list(content, Key.NODE_ID_LIST, int))
    shares = cast("list[bytes]", _list(content, Key.SHARE_LIST, bytes))
    given = dict(zip(node_ids, shares, strict=True))
    return {nid: given[nid] for nid in wanted if nid in given}


def take_masked(state: WorkflowState, nid: int, content: RecordDict) -> None:
    """Add a masked update to the sum, and keep what else the client says of its training."""
    tensors = cast("list[bytes]", _list(content, Key.MASKED_PARAMETERS, bytes))
    masked = [decode_ndarray(tensor) for tensor in tensors]
    if not masked or masked[0].shape != (1,) or any(a.dtype != np.int64 for a in masked):
        raise ValueError("a masked update is a weight and arrays, all of them int64")
    result = compat.recorddict_to_fitres(content, keep_input=False)
    _add(state, masked)
    state.legacy_results.append((state.nid_to_proxies[nid], result))


def _add(state: WorkflowState, masked: NDArrays) -> None:
    """Add one update to the sum, which is all that is kept of it."""
    if not state.aggregate_ndarrays:
        state.aggregate_ndarrays = masked
        return
    shapes = [array.shape for array in state.aggregate_ndarrays]
    if [array.shape for array in masked] != shapes:
        raise ValueError("the arrays of an update have other shapes than those of the first one")
    for total, array in zip(state.aggregate_ndarrays, masked, strict=True):
        np.add(total, array, out=total)
        reduce(total, state.mod_range)
