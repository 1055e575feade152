"""The numbers of a round of SecAgg+: what may be asked for, and what it means for n clients."""

from typing import Final

from flwr.app.console_log import logger
from flwr.crypto.masks import is_modulus

_LEAST_SHARES: Final = 3  # a client and two neighbours
_LEAST_THRESHOLD: Final = 2  # one share alone would be the secret


def as_fraction_if_one(number: float) -> float:
    """Return 1.0 for the int 1, which means all, and every other number as it is.

    Raises:
        TypeError: it is no number.
    """
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError(f"an int or a float is needed, not {type(number).__name__}")
    return 1.0 if number == 1 else number


def check_shares(num_shares: float, threshold: float) -> None:
    """Check both as they are given, before the number of clients is known.

    Raises:
        ValueError: one is out of range, or they contradict each other.
    """
    if isinstance(num_shares, int):
        if num_shares < _LEAST_SHARES:
            raise ValueError("`num_shares` as an integer must be greater than 2.")
        if isinstance(threshold, int) and threshold >= num_shares:
            raise ValueError("`reconstruction_threshold` must be less than `num_shares`.")
    elif not num_shares > 0:
        raise ValueError("`num_shares` as a float must be greater than 0.")
    if isinstance(threshold, int):
        if threshold < _LEAST_THRESHOLD:
            raise ValueError("`reconstruction_threshold` as an integer must be greater than 1.")
    elif not 0 < threshold <= 1:
        raise ValueError("`reconstruction_threshold` as a float must be in (0, 1].")


def check_ranges(
    max_weight: float, clipping_range: float, quantization_range: int, modulus_range: int
) -> None:
    """Check that updates can be quantized, and the results be added.

    Raises:
        ValueError: one is out of range.
    """
    for name, value in (("max_weight", max_weight), ("clipping_range", clipping_range)):
        if not value > 0:
            raise ValueError(f"`{name}` must be greater than 0.")
    if not isinstance(quantization_range, int) or quantization_range <= 0:
        raise ValueError("`quantization_range` must be an integer greater than 0.")
    if not isinstance(modulus_range, int) or modulus_range <= quantization_range:
        raise ValueError("`modulus_range` must be an integer greater than `quantization_range`.")
    if not is_modulus(modulus_range):
        raise ValueError("`modulus_range` must be a power of 2, 2^62 at most.")


def share_count(wanted: float, clients: int) -> int:
    """Return into how many shares each client splits its secrets: one per neighbour and its own.

    Odd, so that neighbours are found equally far in both directions of a ring, unless everybody is
    everybody's neighbour.

    Args:
        wanted: a count, or a float: the fraction of the clients.
        clients: how many were sampled.
    """
    count = wanted if isinstance(wanted, int) else max(round(wanted * clients), _LEAST_SHARES)
    if count >= clients:
        return clients
    if count % 2 == 0:
        if isinstance(wanted, int):
            logger.warning("Number of shares in the SecAgg+ protocol should be odd.")
        count += 1
    return count


def share_threshold(wanted: float, shares: int) -> int:
    """Return how many shares must give a secret: a count, or the fraction of ``shares``."""
    if isinstance(wanted, int):
        return wanted
    return max(_LEAST_THRESHOLD, round(wanted * shares))


def modulus_for(clients: int, quantization_range: int, modulus_range: int) -> int:
    """Return ``modulus_range``, or the next power of two that a sum over ``clients`` stays below.

    Raises:
        ValueError: there is none that int64 can hold.
    """
    modulus = modulus_range
    while modulus <= clients * quantization_range:
        modulus *= 2
    if not is_modulus(modulus):
        raise ValueError(
            f"updates of {clients} clients with quantization_range {quantization_range} cannot be "
            "added in 64 bits; lower it"
        )
    if modulus != modulus_range:
        logger.warning(
            "modulus_range %d is too small for %d clients and would overflow; %d is used",
            modulus_range,
            clients,
            modulus,
        )
    return modulus
