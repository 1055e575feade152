"""The node's standing with its SuperLink: register, activate, heartbeat, recover, leave.

Everything the node asks of the SuperLink goes through ``FleetSession.attempt``, which waits out a
lost connection and renews a lost registration, so that inbox and outbox know nothing of either.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, ParamSpec, TypeVar

from flwr.core.clock import Clock
from flwr.core.errors import (
    AlreadyExistsError,
    ConflictError,
    DeniedError,
    ErrorKind,
    FailedPreconditionError,
    FlwrError,
    UnauthenticatedError,
    UnavailableError,
)
from flwr.core.ids import NodeId
from flwr.core.limits import (
    NODE_HEARTBEAT,
    NODE_HEARTBEAT_DEADLINE,
    NODE_PATIENCE,
    RETRY_CAP,
    RETRY_FIRST,
)
from flwr.shell.in_thread import in_thread
from flwr.supernode.fleet_calls import FleetCalls
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.pulse import Pulse
from flwr.wire.diagnose import TlsMismatchError

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

_ASK_AGAIN: Final = timedelta(seconds=5)  # at most, while a node of our key counts as online
_STILL_ONLINE: Final = NODE_PATIENCE * NODE_HEARTBEAT + timedelta(seconds=15)
_LEAVE_DEADLINE: Final = timedelta(seconds=2)  # each of two last calls
_REJOINS: Final = 3  # in a row without one successful call between
_ODD_TRIES: Final = 3  # a server that stumbled once (upstream's UNKNOWN) is asked again
_REFUSED: Final = (FailedPreconditionError, ConflictError, AlreadyExistsError, UnauthenticatedError)


class NodeRejectedError(DeniedError):
    """The SuperLink does not accept this node, and trying again would not help."""

    def __init__(self, cause: FlwrError, fingerprint: str) -> None:
        """Say which key was refused and why."""
        super().__init__(
            f"the SuperLink refuses this node (key {fingerprint}): {cause.message}",
            hint=cause.hint
            or "have the key registered (flwr supernode register), or check that the node "
            "was not unregistered and that both clocks agree",
        )


class GaveUpError(UnavailableError):
    """The SuperLink stayed unreachable for as long as the operator allows."""

    def __init__(self, cause: FlwrError, tries: int) -> None:
        """Keep the last cause."""
        super().__init__(
            f"gave up on the SuperLink after {tries} tries: {cause.message}",
            hint=cause.hint or "check address and network, or raise --max-retries/--max-wait-time",
        )


FATAL: Final = (NodeRejectedError, GaveUpError)
"""Ends of the whole node; whoever catches FlwrError lets these pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long an unreachable SuperLink is tried; None: for ever."""

    max_retries: int | None = None
    max_wait: timedelta | None = None


class FleetSession:
    """Keeps the node known and online; everybody else calls through ``attempt``."""

    def __init__(
        self,
        fleet: FleetCalls,
        identity: NodeIdentity,
        clock: Clock,
        *,
        fingerprint: str,
        remembers: Callable[[], bool],
        adopt: Callable[[NodeId], None],
        explain: Callable[[], FlwrError],
        patience: Patience = Patience(),
        heartbeat: timedelta = NODE_HEARTBEAT,
    ) -> None:
        """Build.

        Args:
            fleet: the calls.
            identity: takes the id the SuperLink answers.
            clock: time.
            fingerprint: of our key, for messages.
            remembers: tells (in a thread) whether our state holds what we ever confirmed.
            adopt: told (in a thread) whenever the SuperLink answered an id, the same or a new one.
            explain: blocking; says why the SuperLink cannot be reached (``wire.diagnose``).
            patience: bounds of trying.
            heartbeat: the interval announced.
        """
        self.fleet = fleet
        self._identity, self._clock, self._fingerprint = identity, clock, fingerprint
        self._remembers, self._adopt = remembers, adopt
        self._explain, self._patience = explain, patience
        self._interval = heartbeat
        self.pulse = Pulse(clock, heartbeat)
        self._joined = 0  # successful activations
        self._rejoins = 0  # without one successful call since
        self._lost_because = ""  # empty: connected as far as we know
        self._joining = asyncio.Lock()
        self._follower: Callable[[bool], None] | None = None

    @property
    def is_connected(self) -> bool:
        """True while the node is online as far as it knows: no call has failed since."""
        return self._joined > 0 and not self._lost_because and not self._joining.locked()

    def follow(self, follower: Callable[[bool], None] | None) -> None:
        """Tell ``follower`` ``is_connected`` now and whenever it may have changed."""
        self._follower = follower
        self._tell_follower()

    async def connect(self) -> None:
        """Register where that is ours to do, and come online.

        Raises:
            NodeRejectedError: the SuperLink refuses the key.
            FlwrError: transport security does not match (``explain`` says how).
            GaveUpError: ``patience`` is over.
        """
        try:
            await self._patiently(self._join, self._may_be_online_until())
        except _REFUSED as refusal:
            raise NodeRejectedError(refusal, self._fingerprint) from refusal

    async def attempt(
        self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Return the result of ``call``, tried again until the SuperLink answers.

        Raises:
            NodeRejectedError: the SuperLink does not know us any more and takes us back no more.
            GaveUpError: ``patience`` is over.
            FlwrError: whatever else it answers.
        """
        while True:
            joined = self._joined
            try:
                result = await self._patiently(call, *args, **kwargs)
            except UnauthenticatedError as error:
                await self._rejoin(error, joined)
            else:
                self._rejoins = 0
                return result

    async def heartbeats(self) -> None:
        """Stay online until cancelled."""
        while True:
            await self.pulse.until_due()
            joined = self._joined
            try:
                if not await self.attempt(self._beat):
                    await self._rejoin(UnauthenticatedError("Invalid node ID"), joined)
            except FATAL:
                raise
            except FlwrError as error:  # its trouble, not ours: the next one may be heard
                logger.warning(
                    "The SuperLink refused a heartbeat",
                    extra={"event": "heartbeat-refused", "cause": error.message},
                )

    async def leave(self) -> None:
        """Go offline, and give an ephemeral registration back: one try each."""
        if self._identity.known is None:
            return
        calls = [self.fleet.deactivate]
        if self._identity.is_ephemeral and self._identity.registers_itself:
            calls.append(self.fleet.unregister)
        for call in calls:
            try:
                async with asyncio.timeout(_LEAVE_DEADLINE.total_seconds()):
                    await call()
            except (FlwrError, TimeoutError) as error:
                logger.warning(
                    "Could not sign off", extra={"event": "leave-failed", "cause": str(error)}
                )
                return
        logger.info("Signed off", extra={"event": "node-left", "node_id": self._identity.known})

    async def _beat(self) -> bool:
        try:
            async with asyncio.timeout(NODE_HEARTBEAT_DEADLINE.total_seconds()):
                return await self.fleet.heartbeat(self._interval)
        except TimeoutError as cause:
            raise UnavailableError("the SuperLink did not answer a heartbeat in time") from cause

    def _may_be_online_until(self) -> float:
        return self._clock.monotonic() + _STILL_ONLINE.total_seconds()

    async def _join(self, online_until: float) -> None:
        if self._identity.registers_itself:
            try:
                await self.fleet.register()
            except (FailedPreconditionError, AlreadyExistsError) as error:
                # Known already, or closed to strangers: activation tells which.
                logger.debug(
                    "Not registered anew", extra={"event": "register", "cause": error.message}
                )
        pause = RETRY_FIRST
        while True:
            try:
                remembers = await in_thread(self._remembers)
                node_id = await self.fleet.activate(self._interval, remembers=remembers)
                break
            except FailedPreconditionError as refusal:
                if not _may_pass(refusal) or self._clock.monotonic() >= online_until:
                    raise
                logger.info(
                    "Waiting until the SuperLink notices that we were gone",
                    extra={"event": "activation-refused", "cause": refusal.message},
                )
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 2, _ASK_AGAIN)
        self.pulse.restart()
        await in_thread(self._adopt, node_id)
        self._identity.become(node_id)
        self._joined += 1
        logger.info("The node is online", extra={"event": "node-online", "node_id": node_id})

    async def _rejoin(self, cause: UnauthenticatedError, joined: int) -> None:
        async with self._joining:
            if self._joined != joined:
                return  # somebody else has renewed it since
            self._rejoins += 1
            if self._rejoins > _REJOINS:
                raise NodeRejectedError(cause, self._fingerprint)
            logger.warning(
                "The SuperLink does not know this node any more",
                extra={"event": "node-unknown", "cause": cause.message},
            )
            self._tell_follower()
            try:
                await self._patiently(self._join, self._clock.monotonic())
            except _REFUSED as refusal:
                raise NodeRejectedError(cause, self._fingerprint) from refusal
        self._tell_follower()

    async def _patiently(
        self, call: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Try until the SuperLink can be reached, with growing, jittered pauses."""
        pause, tries, odd, began_at = RETRY_FIRST, 0, 0, self._clock.monotonic()
        while True:
            try:
                result = await call(*args, **kwargs)
            except UnavailableError as error:
                tries += 1
                await self._note_lost(error)
                waited = timedelta(seconds=self._clock.monotonic() - began_at)
                if self._is_out_of_patience(tries, waited):
                    raise GaveUpError(error, tries) from error
            except FlwrError as error:
                odd += 1
                if error.kind is not ErrorKind.INTERNAL or odd > _ODD_TRIES:
                    raise
            else:
                self._note_found()
                return result
            jitter = random.uniform(0.5, 1)  # noqa: S311 - spreads load, hides nothing
            await asyncio.sleep((pause * jitter).total_seconds())
            pause = min(pause * 2, RETRY_CAP)

    def _is_out_of_patience(self, tries: int, waited: timedelta) -> bool:
        most, longest = self._patience.max_retries, self._patience.max_wait
        return (most is not None and tries > most) or (longest is not None and waited >= longest)

    def _tell_follower(self) -> None:
        if self._follower is not None:
            self._follower(self.is_connected)

    async def _note_lost(self, error: FlwrError) -> None:
        if self._lost_because and self._joined:
            return
        cause = await in_thread(self._explain)
        # Before the first activation a mismatch is a mistake; later it may be a rotation half done.
        if isinstance(cause, TlsMismatchError) and self._joined == 0:
            raise cause from error
        if self._lost_because != cause.message:
            logger.warning(
                "Cannot reach the SuperLink, trying on",
                extra={"event": "superlink-lost", "cause": cause.message, "remedy": cause.hint},
            )
        self._lost_because = cause.message
        self._tell_follower()

    def _note_found(self) -> None:
        if self._lost_because:
            self._lost_because = ""
            self._tell_follower()
            logger.info("Reached the SuperLink", extra={"event": "superlink-found"})


def _may_pass(refusal: FlwrError) -> bool:
    """Tell whether a refused activation may succeed later: the node counts as online still."""
    words = refusal.message.lower()
    if "online" in words or "already" in words:
        return True
    return refusal.kind is ErrorKind.FAILED_PRECONDITION and "key" not in words
