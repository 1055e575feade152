"""Older spelling of ``flwr.crypto.shamir``."""

from flwr.crypto import shamir


def create_shares(secret: bytes, threshold: int, num: int) -> list[bytes]:
    """Return ``num`` shares of ``secret``, any ``threshold`` of which give it.

    Raises:
        ShareError: not 2 <= threshold <= num.
    """
    return shamir.split(secret, threshold, num)


def combine_shares(share_list: list[bytes]) -> bytes:
    """Return the secret the shares were made of.

    Raises:
        ShareError: they do not fit together, or are too few.
    """
    return shamir.combine(share_list)
