"""The person or robot behind a Control call.  Without a login service everybody is the same one."""

from dataclasses import dataclass
from typing import Final

from flwr.core.ids import AccountId
from flwr.core.node import NO_ACCOUNT_ID, NO_ACCOUNT_NAME


@dataclass(frozen=True, slots=True)
class Account:
    """Who owns runs and nodes."""

    account_id: AccountId
    name: str


NO_LOGIN: Final = Account(NO_ACCOUNT_ID, NO_ACCOUNT_NAME)
"""Everybody, while no login service is configured (wire contract §5.5)."""
