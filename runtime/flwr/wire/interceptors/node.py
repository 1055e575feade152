"""Fleet: who signed the call, does the request speak of that node, and is it no replay (§5.2)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from typing import Final

from flwr.auth import node_keys
from flwr.auth.node_binding import ReplayGuard, claimed_nonce, is_bound, verify_bound_call
from flwr.auth.node_keys import (
    NodeClaim,
    NodeIdError,
    NodeProof,
    NodeSignatureError,
    PublicKeyError,
)
from flwr.auth.policy import Proof, find_proof
from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, UnauthenticatedError
from flwr.core.ids import NodeId
from flwr.wire.bulk import NODE_BULK
from flwr.wire.codec.lines import NODE_LINE
from flwr.wire.interceptors.access_log import add_fact
from flwr.wire.interceptors.guarding import Guard, Pairs, Request, Rpc, ServiceGuard, headers_of

FindNode = Callable[[bytes], Awaitable[NodeId | None]]
"""Finds the registered node of a public key, PEM as ``auth.node_keys`` writes it."""

_HASHED_AT_ONCE_BYTES: Final = 65_536  # more is hashed in a thread
_arrived: ContextVar[NodeClaim | FlwrError] = ContextVar("arrived")
_calling_node: ContextVar[NodeId] = ContextVar("calling_node")
_calling_key: ContextVar[bytes] = ContextVar("calling_key")


def calling_node(_rpc: Rpc | None = None) -> NodeId:
    """Return the id of the node that signed the present call."""
    return _calling_node.get()


def calling_key(_rpc: Rpc | None = None) -> bytes:
    """Return the public key, PEM, that signed the present call; also before it has a node."""
    return _calling_key.get()


class NodeInterceptor(ServiceGuard):
    """Guards the services of the Fleet port; other services pass."""

    services = ("/flwr.proto.Fleet/", "/flwr.compose.v1.NodeLogs/", NODE_BULK, NODE_LINE)

    def __init__(self, find_node: FindNode, *, clock: Clock) -> None:
        self._find_node = find_node
        self._clock = clock
        self._replays = ReplayGuard()

    def arrive(self, headers: Pairs) -> None:
        """Judge the age of a signature now: over a slow line the body may outlast the window."""
        now = self._clock.now()
        try:
            if is_bound(headers):
                claim = node_keys.read_claim(headers, now=now)
            else:
                claim = node_keys.verify_call(headers, now=now)
            self._replays.look(claim, claimed_nonce(headers))
        except FlwrError as refusal:
            _arrived.set(refusal)
        else:
            _arrived.set(claim)

    def guard_of(self, method: str) -> Guard:
        """Return the check of a call's signature."""
        needed = find_proof(method)

        async def check(request: Request, rpc: Rpc, raw: bytes) -> None:
            headers = headers_of(rpc)
            proof = await _proven(headers, method, raw)
            if needed is Proof.NODE:
                await self._check_node(request, proof.public_key)
            elif needed is Proof.NODE_KEY_ONLY:
                _check_same_key(request, proof.public_key)
            else:
                raise UnauthenticatedError("Authentication failed.")
            self._replays.check(proof, claimed_nonce(headers), now=self._clock.now())
            _calling_key.set(proof.public_key)

        return check

    async def _check_node(self, request: Request, key: bytes) -> None:
        node_id = await self._find_node(key)
        if node_id is None:
            raise NodeIdError("this key belongs to no registered node: register its public key")
        add_fact("node_id", node_id)
        if _named_node(request) != node_id:
            raise NodeIdError("the request names another node than the one that signed it")
        _calling_node.set(node_id)


async def _proven(headers: Pairs, method: str, raw: bytes) -> NodeProof:
    """Return what the call proves by one signature: over all of it, or as older nodes sign."""
    claimed = node_keys.claimed_key(headers)
    if claimed is not None:
        add_fact("fingerprint", partial(node_keys.fingerprint, claimed))
    arrived = _arrived.get()
    if isinstance(arrived, FlwrError):
        raise arrived
    if isinstance(arrived, NodeProof):
        return arrived
    if len(raw) <= _HASHED_AT_ONCE_BYTES:
        return verify_bound_call(headers, arrived, method, raw)
    return await asyncio.to_thread(verify_bound_call, headers, arrived, method, raw)


def _named_node(request: Request) -> int:
    fields = request.DESCRIPTOR.fields_by_name
    named: int = request.node.node_id if "node" in fields else request.node_id
    return named


def _check_same_key(request: Request, key: bytes) -> None:
    """Refuse one node's key signing for another's (wire contract §19 no. 14)."""
    try:
        is_same = node_keys.parse_public_key(request.public_key) == key
    except PublicKeyError:
        is_same = False
    if not is_same:
        raise NodeSignatureError("the key in the request is not the one that signed it")
