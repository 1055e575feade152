"""Who is whose neighbour: nodes on a ring see as many of the others on either side."""

from collections.abc import Sequence


def neighbours(ring: Sequence[int], count: int) -> dict[int, set[int]]:
    """Return, for each node, itself and the others it shares secrets with; it is mutual.

    Args:
        ring: the ids in a random order, so that nobody chooses its neighbours.
        count: how many each node gets, itself included; odd, or at least as many as there are.

    Source: Bell et al., CCS 2020, doi:10.1145/3372297.3417885, section 3.
    """
    if count >= len(ring):
        return {node_id: set(ring) for node_id in ring}
    reach = count // 2
    return {
        node_id: {ring[(at + step) % len(ring)] for step in range(-reach, reach + 1)}
        for at, node_id in enumerate(ring)
    }
