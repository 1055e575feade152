"""AppIo: which launch makes the call, and is it this launch's run (wire contract §5.4).

Calls of a SuperExec are proven by its HMAC where a secret is configured, and are open otherwise.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar

from flwr.auth.app_tokens import (
    BodyTokenRefusedError,
    TokenRefusedError,
    WrongRunError,
    find_token,
    hash_token,
)
from flwr.auth.policy import Proof, find_proof
from flwr.auth.superexec_auth import SuperExecVerifier
from flwr.core.clock import Clock
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.core.lease import Lease
from flwr.wire.appio_methods import (
    APP_BULK,
    APP_LOGS,
    CLIENTAPPIO,
    LAUNCHES,
    SERVERAPPIO,
    WHOLE_LAUNCHES,
)
from flwr.wire.interceptors.access_log import add_fact
from flwr.wire.interceptors.guarding import Guard, Request, Rpc, ServiceGuard, headers_of

FindLease = Callable[[str], Awaitable[Lease | None]]
"""Finds a live lease by the hash of its token; the reaper, not a look here, ends leases."""

FindLeaseOfRun = Callable[[RunId], Awaitable[Lease | None]]

_calling_lease: ContextVar[Lease] = ContextVar("calling_lease")


def calling_lease(_rpc: Rpc | None = None) -> Lease:
    """Return the lease by which the present call is made."""
    return _calling_lease.get()


class AppTokenInterceptor(ServiceGuard):
    """Guards the services of an AppIo port; other services pass.

    Args:
        find_lease: looks a token up by its hash.
        clock: for the window of SuperExec proofs.
        superexec: checks SuperExec proofs; None leaves ListAppsToLaunch, RequestToken, GetRun and
            ReportExit open.
        accept_body_tokens: serve processes of 1.24 to 1.28, which send no header: their token is
            in the body of some requests, and the others are bound to the run they name.
        find_lease_of_run: needed for those others; finds the run's live lease.
    """

    services = (SERVERAPPIO, CLIENTAPPIO, APP_LOGS, LAUNCHES, WHOLE_LAUNCHES, APP_BULK)

    def __init__(
        self,
        find_lease: FindLease,
        *,
        clock: Clock,
        superexec: SuperExecVerifier | None = None,
        accept_body_tokens: bool = False,
        find_lease_of_run: FindLeaseOfRun | None = None,
    ) -> None:
        self._find_lease = find_lease
        self._clock = clock
        self._superexec = superexec
        self._accept_body_tokens = accept_body_tokens
        self._find_lease_of_run = find_lease_of_run

    def guard_of(self, method: str) -> Guard:
        """Return the check of a call's token or HMAC."""
        proof = find_proof(method)

        async def check(request: Request, rpc: Rpc, _raw: bytes) -> None:
            if proof is Proof.APP_TOKEN:
                await self._check_token(request, rpc)
            elif proof is Proof.SUPEREXEC:
                self._check_superexec(request, rpc, method)
            elif proof is Proof.LAUNCH:
                await self._check_launch(request, rpc, method)
            else:
                raise TokenRefusedError

        return check

    async def _check_token(self, request: Request, rpc: Rpc) -> None:
        token = find_token(headers_of(rpc))
        if token is not None:
            lease = await self._require_lease(token, TokenRefusedError())
        elif self._accept_body_tokens:
            lease = await self._lease_without_header(request)
        else:
            raise TokenRefusedError
        add_fact("run_id", lease.run_id)
        # 0: the request does not say (wire contract §12.4).
        if getattr(request, "run_id", 0) not in {0, lease.run_id}:
            raise WrongRunError
        _calling_lease.set(lease)

    async def _lease_without_header(self, request: Request) -> Lease:
        token = getattr(request, "token", "")
        if token:
            return await self._require_lease(token, BodyTokenRefusedError())
        run_id = getattr(request, "run_id", 0)
        if not run_id or self._find_lease_of_run is None:
            raise TokenRefusedError
        lease = await self._find_lease_of_run(RunId(run_id))
        if lease is None:
            raise BodyTokenRefusedError
        return lease

    async def _require_lease(self, token: str, otherwise: FlwrError) -> Lease:
        lease = await self._find_lease(hash_token(token))
        if lease is None:
            raise otherwise
        return lease

    async def _check_launch(self, request: Request, rpc: Rpc, method: str) -> None:
        token = find_token(headers_of(rpc))
        if token is None:
            self._check_superexec(request, rpc, method)
            return
        await self._require_lease(token, TokenRefusedError())
        if request.token != token:
            raise TokenRefusedError

    def _check_superexec(self, request: Request, rpc: Rpc, method: str) -> None:
        if self._superexec is None:
            return
        body: bytes = request.SerializeToString(deterministic=True)
        self._superexec.verify(headers_of(rpc), method, body, now=self._clock.now())
