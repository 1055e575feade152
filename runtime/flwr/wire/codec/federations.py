"""Federations <-> protobuf."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from flwr.core.ids import AccountId
from flwr.core.node import Node
from flwr.core.run import Run
from flwr.core.simulation import SimulationConfig
from flwr.proto import control_pb2, federation_pb2
from flwr.wire.codec.config import decode_simulation, encode_simulation
from flwr.wire.codec.nodes import decode_node, encode_node
from flwr.wire.codec.runs import decode_run, decode_time, encode_run


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInfo:
    """An account in a federation."""

    account_id: AccountId
    name: str
    role: str  # free text; "owner" is the one role of a federation without accounts


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationInfo:
    """What a member sees of a federation."""

    name: str
    description: str = ""
    archived: bool = False
    simulation: bool = False
    members: tuple[MemberInfo, ...] = ()
    nodes: tuple[Node, ...] = ()
    runs: tuple[Run, ...] = ()
    config: SimulationConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """An account asked into a federation."""

    federation: str
    inviter: str  # name of an account
    invitee: str
    status: str  # pending, accepted, rejected, revoked or expired
    created_at: datetime | None
    changed_at: datetime | None

    @property
    def is_open(self) -> bool:
        """True while it can be answered or taken back."""
        return self.status == "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitations:
    """All that concern one account."""

    created: tuple[Invitation, ...] = ()
    received: tuple[Invitation, ...] = ()


def encode_federation(federation: FederationInfo) -> federation_pb2.Federation:
    """Return the federation with all it contains."""
    config = federation.config
    return federation_pb2.Federation(
        name=federation.name,
        description=federation.description,
        archived=federation.archived,
        simulation=federation.simulation,
        members=[_encode_member(member) for member in federation.members],
        nodes=[encode_node(node) for node in federation.nodes],
        runs=[encode_run(run) for run in federation.runs],
        config=None if config is None else encode_simulation(config),
    )


def decode_federation(federation: federation_pb2.Federation) -> FederationInfo:
    """Return the federation as a peer tells it.

    Raises:
        InvalidError: a node or run in it cannot be read.
    """
    has_config = federation.HasField("config")
    return FederationInfo(
        name=federation.name,
        description=federation.description,
        archived=federation.archived,
        simulation=federation.simulation,
        members=tuple(map(_decode_member, federation.members)),
        nodes=tuple(map(decode_node, federation.nodes)),
        runs=tuple(map(decode_run, federation.runs)),
        config=decode_simulation(federation.config) if has_config else None,
    )


def _encode_member(member: MemberInfo) -> federation_pb2.Member:
    account = federation_pb2.Account(id=member.account_id, name=member.name)
    return federation_pb2.Member(account=account, role=member.role)


def _decode_member(member: federation_pb2.Member) -> MemberInfo:
    return MemberInfo(
        account_id=AccountId(member.account.id), name=member.account.name, role=member.role
    )


def decode_invitations(response: control_pb2.ListInvitationsResponse) -> Invitations:
    """Return the invitations a SuperLink lists.

    Raises:
        InvalidError: an instant in it cannot be read.
    """
    return Invitations(
        created=tuple(_decode_invitations(response.created_invitations)),
        received=tuple(_decode_invitations(response.received_invitations)),
    )


def _decode_invitations(found: Iterable[federation_pb2.Invitation]) -> Iterable[Invitation]:
    for each in found:
        yield Invitation(
            federation=each.federation_name,
            inviter=each.inviter.name,
            invitee=each.invitee.name,
            status=each.status,
            created_at=decode_time(each.created_at),
            changed_at=decode_time(each.status_changed_at),
        )
