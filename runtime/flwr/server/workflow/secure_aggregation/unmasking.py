"""Taking the masks out of a sum of updates, by means of the shares that clients gave back."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from flwr.common.secure_aggregation.secaggplus_utils import mask_sign
from flwr.common.typing import NDArrays
from flwr.crypto import shamir
from flwr.crypto.ecdsa import parse_private_key, parse_public_key, public_pem
from flwr.crypto.masks import make_mask, reduce
from flwr.crypto.quantize import dequantize
from flwr.crypto.symmetric import agree
from flwr.server.workflow.secure_aggregation.workflow_state import WorkflowState


class UnmaskingError(ValueError):
    """The sum cannot be uncovered: shares are missing or wrong, or it is a sum of nothing."""


def unmask_sum(state: WorkflowState, shares: Mapping[int, Sequence[bytes]]) -> NDArrays:
    """Return the sum of the plain updates, the summed weight first.

    Args:
        state: the round after the masked updates were added up.
        shares: by node id; of an active node's seed, of a dropped node's private key.

    Raises:
        UnmaskingError: a secret cannot be put together.
    """
    masked = state.aggregate_ndarrays
    vector: NDArray[np.int64] = np.concatenate([array.ravel() for array in masked])
    for node_id in state.shared_node_ids:
        secret = _combine(node_id, shares.get(node_id, ()), state.threshold)
        is_active = node_id in state.active_node_ids
        for seed, sign in [(secret, 1)] if is_active else _pairwise(state, node_id, secret):
            mask = make_mask(state.generator, seed, state.mod_range, len(vector))
            vector -= sign * mask
    reduce(vector, state.mod_range)
    parts = np.split(vector, list(accumulate(array.size for array in masked))[:-1])
    return [part.reshape(array.shape) for part, array in zip(parts, masked, strict=True)]


def average(state: WorkflowState, summed: NDArrays) -> NDArrays:
    """Return the weighted average of the updates, as floats.

    Args:
        state: the round.
        summed: what ``unmask_sum`` returned.

    Raises:
        UnmaskingError: the weights add up to zero, or not to what clients say.
    """
    total_weight = int(summed[0].item())
    _check_weight(state, total_weight)
    if total_weight == 0:
        raise UnmaskingError("the weights of all updates add up to zero")
    surplus = (len(state.active_node_ids) - 1) * state.clipping_range
    floats = dequantize(summed[1:], state.clipping_range, state.quantization_range)
    scale = state.quantization_range / total_weight
    return [np.asarray((array - surplus) * scale) for array in floats]


def _check_weight(state: WorkflowState, total_weight: int) -> None:
    """Compare with what clients say besides: one wrong share makes every number random."""
    scale = state.quantization_range / state.max_weight
    told = sum(round(result.num_examples * scale) for _, result in state.legacy_results)
    if abs(told % state.mod_range - total_weight) > len(state.legacy_results):
        raise UnmaskingError(
            f"the weights add up to {total_weight}, the clients' numbers of examples to {told}: "
            "a client sent a wrong share or a wrong update"
        )


def _pairwise(
    state: WorkflowState, node_id: int, private_pem: bytes
) -> Iterator[tuple[bytes, int]]:
    """Yield the masks that active neighbours added for a dropped node, which did not take part."""
    try:
        private_key = parse_private_key(private_pem)
    except ValueError as cause:
        raise UnmaskingError(f"the shares of node {node_id}'s key give no key") from cause
    if public_pem(private_key.public_key()) != state.nid_to_publickeys[node_id][0]:
        raise UnmaskingError(f"the shares of node {node_id}'s key give another key")
    for neighbour_id in state.nid_to_neighbours[node_id] & state.active_node_ids:
        public_key = parse_public_key(state.nid_to_publickeys[neighbour_id][0])
        yield agree(private_key, public_key), mask_sign(neighbour_id, node_id)


def _combine(node_id: int, shares: Sequence[bytes], threshold: int) -> bytes:
    if len(shares) < threshold:
        raise UnmaskingError(
            "Not enough shares to recover secret in unmask vectors stage: "
            f"{len(shares)} of {threshold} for node {node_id}"
        )
    try:
        return shamir.combine(shares[:threshold])
    except shamir.ShareError as cause:
        raise UnmaskingError(f"the shares of node {node_id} give no secret: {cause}") from cause
