"""The part of a SuperLink's Control API that knows federations, invitations and accounts."""

from dataclasses import dataclass, field

from flwr.core.errors import UnimplementedError
from flwr.core.ids import NodeId
from flwr.core.simulation import SimulationConfig
from flwr.wire.clients.accounts import LoginDetails, Tokens
from flwr.wire.codec.federations import FederationInfo, Invitations


@dataclass
class FakeFederations:
    """Manages nothing, as an open SuperLink, unless told to."""

    manages: bool = False
    federations: list[FederationInfo] = field(default_factory=list)
    invitations: Invitations = field(default_factory=Invitations)
    login: LoginDetails | None = None  # None: no accounts
    tokens: list[Tokens | None] = field(default_factory=list)  # one answer per coming question
    asked: list[tuple[str, object]] = field(default_factory=list)

    def login_details(self) -> LoginDetails:
        self._ask("login_details", None)
        if self.login is None:
            raise UnimplementedError("ControlServicer initialized without account authentication")
        return self.login

    def auth_tokens(self, device_code: str) -> Tokens | None:
        self._ask("auth_tokens", device_code)
        return self.tokens.pop(0) if self.tokens else None

    def create_federation(
        self, name: str, description: str = "", *, simulation: bool = False
    ) -> FederationInfo:
        self._manage("create_federation", (name, description, simulation))
        full_name = name if name.startswith("@") else f"@none/{name}"
        return FederationInfo(name=full_name, description=description, simulation=simulation)

    def archive_federation(self, name: str) -> None:
        self._manage("archive_federation", name)

    def add_node_to_federation(self, name: str, node_id: NodeId) -> None:
        self._manage("add_node_to_federation", (name, node_id))

    def remove_node_from_federation(self, name: str, node_id: NodeId) -> None:
        self._manage("remove_node_from_federation", (name, node_id))

    def remove_account_from_federation(self, name: str, account: str = "") -> None:
        self._manage("remove_account_from_federation", (name, account))

    def configure_simulation(self, name: str, config: SimulationConfig) -> None:
        self._ask("configure_simulation", (name, config))

    def create_invitation(self, name: str, account: str) -> None:
        self._manage("create_invitation", (name, account))

    def list_invitations(self) -> Invitations:
        self._manage("list_invitations", None)
        return self.invitations

    def accept_invitation(self, name: str) -> None:
        self._manage("accept_invitation", name)

    def reject_invitation(self, name: str) -> None:
        self._manage("reject_invitation", name)

    def revoke_invitation(self, name: str, account: str) -> None:
        self._manage("revoke_invitation", (name, account))

    def _manage(self, call: str, arguments: object) -> None:
        self._ask(call, arguments)
        if not self.manages:
            raise UnimplementedError("this SuperLink has one federation and no accounts")

    def _ask(self, call: str, arguments: object) -> None:
        self.asked.append((call, arguments))
