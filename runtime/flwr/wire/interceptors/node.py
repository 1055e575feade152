"""Fleet: who signed the call, does the request speak of that node, and is it no replay (§5.2)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Final

import grpc

from flwr.auth import node_keys
from flwr.auth.node_binding import ReplayGuard, claimed_nonce, verify_binding
from flwr.auth.node_keys import NodeIdError, NodeProof, NodeSignatureError, PublicKeyError
from flwr.auth.policy import Proof, find_proof
from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, UnauthenticatedError
from flwr.core.ids import NodeId
from flwr.core.node import Node, NodeStatus
from flwr.wire.interceptors.access_log import add_fact
from flwr.wire.interceptors.guarding import Guard, Request, Rpc, ServiceGuard, headers_of

FindNode = Callable[[bytes], Awaitable[Node | None]]
"""Finds a node by its public key in PEM form, as ``auth.node_keys`` writes it."""

Pairs = tuple[tuple[str, str | bytes], ...]

_HASHED_AT_ONCE_BYTES: Final = 65_536  # more is hashed in a thread
_calling_node: ContextVar[Node] = ContextVar("calling_node")
_calling_key: ContextVar[bytes] = ContextVar("calling_key")


def calling_node(_rpc: Rpc | None = None) -> NodeId:
    """Return the id of the node that signed the present call."""
    return _calling_node.get().node_id


def calling_key(_rpc: Rpc | None = None) -> bytes:
    """Return the public key, PEM, that signed the present call; also before it has a node."""
    return _calling_key.get()


class NodeInterceptor(ServiceGuard):
    """Guards the services of the Fleet port; other services pass."""

    services = ("/flwr.proto.Fleet/", "/flwr.compose.v1.NodeLogs/")

    def __init__(self, find_node: FindNode, *, clock: Clock) -> None:
        self._find_node = find_node
        self._clock = clock
        self._replays = ReplayGuard()

    def guard_of(self, details: grpc.HandlerCallDetails) -> Guard:
        """Return the check of one call's signature."""
        method = details.method
        needed = find_proof(method)
        # Judged by its age now: over a slow line the body may take longer than the window lasts.
        arrived = self._arrive(tuple(details.invocation_metadata or ()))

        async def check(request: Request, rpc: Rpc, raw: bytes) -> None:
            headers = headers_of(rpc)
            proof = _admitted(headers, arrived)
            nonce = await _verify_binding(headers, proof, method, raw)
            if needed is Proof.NODE:
                await self._check_node(request, proof.public_key)
            elif needed is Proof.NODE_KEY_ONLY:
                _check_same_key(request, proof.public_key)
            else:
                raise UnauthenticatedError("Authentication failed.")
            self._replays.check(proof, nonce, now=self._clock.now())

        return check

    def _arrive(self, headers: Pairs) -> NodeProof | FlwrError:
        """Return what the headers prove, or why they are refused."""
        try:
            proof = node_keys.verify_call(headers, now=self._clock.now())
            self._replays.look(proof, claimed_nonce(headers))
        except FlwrError as refusal:
            return refusal
        return proof

    async def _check_node(self, request: Request, key: bytes) -> None:
        node = await self._find_node(key)
        if node is None or node.status is NodeStatus.UNREGISTERED:
            raise NodeIdError("this key belongs to no registered node: register its public key")
        add_fact("node_id", node.node_id)
        if _named_node(request) != node.node_id:
            raise NodeIdError("the request names another node than the one that signed it")
        _calling_node.set(node)


def _admitted(headers: Pairs, arrived: NodeProof | FlwrError) -> NodeProof:
    claimed = node_keys.claimed_key(headers)
    if claimed is not None:
        add_fact("fingerprint", node_keys.fingerprint(claimed))
    if isinstance(arrived, FlwrError):
        raise arrived
    _calling_key.set(arrived.public_key)
    return arrived


async def _verify_binding(headers: Pairs, proof: NodeProof, method: str, raw: bytes) -> str | None:
    if len(raw) <= _HASHED_AT_ONCE_BYTES:
        return verify_binding(headers, proof, method, raw)
    return await asyncio.to_thread(verify_binding, headers, proof, method, raw)


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
