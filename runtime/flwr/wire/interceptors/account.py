"""Control: whose call it is.  Without a login service everybody is the same account."""

from contextvars import ContextVar

from flwr.auth.accounts import NO_LOGIN, Account
from flwr.auth.policy import Proof, find_proof
from flwr.core.errors import UnauthenticatedError
from flwr.wire.interceptors.guarding import Guard, Request, Rpc, ServiceGuard

_calling_account: ContextVar[Account] = ContextVar("calling_account")


def calling_account(_rpc: Rpc | None = None) -> Account:
    """Return the account behind the present call."""
    return _calling_account.get()


class AccountInterceptor(ServiceGuard):
    """Guards the Control service; other services pass."""

    services = ("/flwr.proto.Control/",)

    def guard_of(self, method: str) -> Guard:
        """Return the check of a call's account."""
        proof = find_proof(method)

        async def check(_request: Request, _rpc: Rpc, _raw: bytes) -> None:
            if proof is Proof.ACCOUNT:
                _calling_account.set(NO_LOGIN)
            elif proof is not Proof.NONE:
                raise UnauthenticatedError("Access denied")

        return check
