"""Tokens on the way: sent over TLS only, replaced when the server renews them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from flwr.auth.tls import ClientTls, ServerTls
from flwr.proto import control_pb2, federation_pb2
from flwr.wire.clients.accounts import Tokens, renewed_tokens
from flwr.wire.clients.control import ControlClient, open_control
from tests.fakes.certificates import Authority
from tests.fakes.rpc import message_service, serving

AUTHORITY = Authority()
OLD, NEW = Tokens("a1", "r1"), Tokens("a2", "r2")


class Keeper:
    """A user's tokens in memory."""

    def __init__(self, tokens: Tokens | None) -> None:
        self.tokens = tokens

    def load(self) -> Tokens | None:
        return self.tokens

    def save(self, tokens: Tokens) -> None:
        self.tokens = tokens


class SuperLink:
    """Has accounts; renews what is old."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, Any]] = []

    async def _meet(self, rpc: Any) -> None:
        said = dict(rpc.invocation_metadata())
        pair = said.get("flwr-oidc-access-token"), said.get("flwr-oidc-refresh-token")
        self.seen.append(pair)
        if pair == ("a1", "r1"):
            await rpc.send_initial_metadata(NEW.headers())

    async def list_nodes(self, request: Any, rpc: Any) -> Any:
        await self._meet(rpc)
        return control_pb2.ListNodesResponse()

    async def stream_logs(self, request: Any, rpc: Any) -> AsyncIterator[Any]:
        await self._meet(rpc)
        yield control_pb2.StreamLogsResponse(log_output="x", latest_timestamp=1.0)

    async def login(self, request: Any, rpc: Any) -> Any:
        return control_pb2.GetLoginDetailsResponse(
            authn_type="oidc",
            device_code="d",
            verification_uri_complete="https://x/d",
            expires_in=300,
            interval=5,
        )

    async def tokens(self, request: Any, rpc: Any) -> Any:
        if request.device_code != "done":
            return control_pb2.GetAuthTokensResponse(access_token="half")
        return control_pb2.GetAuthTokensResponse(access_token="a1", refresh_token="r1")

    async def invitations(self, request: Any, rpc: Any) -> Any:
        each = federation_pb2.Invitation(
            federation_name="@a/x",
            inviter=federation_pb2.Account(name="a"),
            invitee=federation_pb2.Account(name="b"),
            status="pending",
            created_at="2026-03-01T12:00:00+00:00",
        )
        return control_pb2.ListInvitationsResponse(received_invitations=[each])

    def service(self) -> Any:
        pb = control_pb2
        unary: dict[str, Any] = {
            "ListNodes": (pb.ListNodesRequest, self.list_nodes),
            "GetLoginDetails": (pb.GetLoginDetailsRequest, self.login),
            "GetAuthTokens": (pb.GetAuthTokensRequest, self.tokens),
            "ListInvitations": (pb.ListInvitationsRequest, self.invitations),
        }
        stream: dict[str, Any] = {"StreamLogs": (pb.StreamLogsRequest, self.stream_logs)}
        return message_service("flwr.proto.Control", unary, stream)


def with_client(
    superlink: SuperLink,
    keeper: Keeper | None,
    question: Any,
    *,
    tls: ServerTls | None = None,
    trust: ClientTls | None = None,
) -> Any:
    def ask(address: str) -> Any:
        with open_control(address, trust, keeper) as control:
            return question(control)

    async def play() -> Any:
        async with serving(superlink.service(), tls=tls) as server:
            return await asyncio.to_thread(ask, server.address)

    return asyncio.run(play())


def over_tls(superlink: SuperLink, keeper: Keeper | None, question: Any) -> Any:
    tls, trust = AUTHORITY.issue(), AUTHORITY.client_tls
    return with_client(superlink, keeper, question, tls=tls, trust=trust)


def test_renewed_tokens_replace_those_that_were_sent() -> None:
    for question in (ControlClient.list_nodes, lambda c: list(c.stream_logs(7, 0.0))):
        superlink, keeper = SuperLink(), Keeper(OLD)
        over_tls(superlink, keeper, lambda c, ask=question: (ask(c), ask(c)))
        assert superlink.seen == [("a1", "r1"), ("a2", "r2")]
        assert keeper.tokens == NEW


def test_who_is_not_logged_in_sends_none() -> None:
    for keeper in (None, Keeper(None)):
        superlink = SuperLink()
        over_tls(superlink, keeper, ControlClient.list_nodes)
        assert superlink.seen == [(None, None)]


def test_tokens_never_travel_in_clear_text() -> None:
    superlink = SuperLink()
    with_client(superlink, Keeper(OLD), ControlClient.list_nodes)
    assert superlink.seen == [(None, None)]


def test_a_login_is_finished_when_both_tokens_are_there() -> None:
    details, half, whole = with_client(
        SuperLink(),
        None,
        lambda c: (c.login_details(), c.auth_tokens("d"), c.auth_tokens("done")),
    )
    assert (details.authn_type, details.device_code) == ("oidc", "d")
    assert (details.expires_in.total_seconds(), details.interval.total_seconds()) == (300, 5)
    assert (half, whole) == (None, OLD)


def test_invitations_are_read() -> None:
    found = with_client(SuperLink(), None, ControlClient.list_invitations)
    (received,) = found.received
    assert (received.federation, received.inviter, received.is_open) == ("@a/x", "a", True)
    assert (received.created_at.year, received.changed_at, found.created) == (2026, None, ())


def test_half_a_pair_renews_nothing() -> None:
    assert renewed_tokens([("flwr-oidc-access-token", "a")]) is None
    assert renewed_tokens(None) is None
