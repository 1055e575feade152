"""Control: whose call it is.  Without a login service everybody is the same account."""

from contextvars import ContextVar
from typing import Final

import grpc

from flwr.auth.accounts import NO_LOGIN, Account
from flwr.auth.policy import Proof, find_proof
from flwr.core.errors import UnauthenticatedError
from flwr.wire.interceptors.guarding import Continuation, Handler, Request, Rpc, guarded

_SERVICE: Final = "/flwr.proto.Control/"
_calling_account: ContextVar[Account] = ContextVar("calling_account")


def calling_account(_rpc: Rpc | None = None) -> Account:
    """Return the account behind the present call."""
    return _calling_account.get()


class AccountInterceptor(grpc.aio.ServerInterceptor):
    """Guards the Control service; other services pass."""

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Guard the handler of one call."""
        handler, method = await continuation(handler_call_details), handler_call_details.method
        if handler is None or not method.startswith(_SERVICE):
            return handler
        proof = find_proof(method)

        async def check(_request: Request, _rpc: Rpc, _raw: bytes) -> None:
            if proof is Proof.ACCOUNT:
                _calling_account.set(NO_LOGIN)
            elif proof is not Proof.NONE:
                raise UnauthenticatedError("Access denied")

        return guarded(handler, check)
