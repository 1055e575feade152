"""Who takes part in a round: waiting for nodes and sampling among them."""

import random

from flwr.app.console_log import logger
from flwr.core.limits import WAIT_NOTICE
from flwr.serverapp.grid import Grid
from flwr.serverapp.pace import SYSTEM_PACE, Pace


def sample_nodes(
    grid: Grid,
    min_available_nodes: int,
    sample_size: int,
    *,
    seen: list[int] | None = None,
    pace: Pace = SYSTEM_PACE,
) -> tuple[list[int], list[int]]:
    """Wait until enough nodes are online, then sample ``sample_size`` of them.

    Args:
        grid: asked which nodes are online.
        min_available_nodes: how many must be.
        sample_size: how many are wanted, which must be online too.
        seen: who was online just now; if they are enough, nobody is asked again.
        pace: of asking again.

    Returns:
        The sampled nodes, and all nodes online.
    """
    wanted, online = max(min_available_nodes, sample_size), seen or []
    if len(online) < wanted or seen is None:
        online = wait_for_nodes(grid, wanted, pace=pace)
    # No secret depends on it, and apps seed it to repeat an experiment.
    return random.sample(online, sample_size), online


def wait_for_nodes(grid: Grid, wanted: int, *, pace: Pace = SYSTEM_PACE) -> list[int]:
    """Return the nodes online as soon as there are ``wanted``, without limit of time.

    Logs one line when it has to wait and one every ``WAIT_NOTICE``.
    """
    notice_at_s = 0.0
    online: list[int] = []
    for waited_s in pace.attempts():
        online = list(grid.get_node_ids())
        if len(online) >= wanted:
            break
        if waited_s >= notice_at_s:
            notice_at_s = waited_s + WAIT_NOTICE.total_seconds()
            logger.info(
                "Waiting for nodes to connect: %d connected (minimum required: %d).",
                len(online),
                wanted,
            )
    return online
