"""The server's side of a federation in containers: SuperLink and the executor of its ServerApps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from flwr.core.limits import CONTROL_PORT, FLEET_PORT, SERVERAPPIO_PORT
from flwr.sdk.checkout import find_checkout
from flwr.sdk.deployment import HEALTHY_S, Deployment, Endpoint, Plan, private_endpoint
from flwr.sdk.keys import ServerKeys
from flwr.sdk.link import SuperLink
from flwr.sdk.parameters import Daemon, Executor, ParameterError

if TYPE_CHECKING:
    from python_on_whales import Container

_SUPERLINK: Final = "superlink"
_EXECUTOR: Final = "serverapp"
_CLEAR_TEXT: Final = "without-tls"
# An address that stands for every interface, and the one to dial it by on this host.
_DIALLED: Final = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "[::1]"}  # noqa: S104


class Server(Deployment):
    """A SuperLink in containers on this host."""

    side: ClassVar[str] = "server"

    @classmethod
    def deploy(
        cls,
        name: str = "flwr",
        *,
        keys: ServerKeys | Path | str | None = None,
        fleet: str = f"0.0.0.0:{FLEET_PORT}",
        control: str = f"127.0.0.1:{CONTROL_PORT}",
        superlink: Daemon | None = None,
        serverapp: Executor | None = None,
        overlays: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        checkout: Path | str | None = None,
        timeout: float = HEALTHY_S,
    ) -> Self:
        """Start a server and return it once every container is healthy; again: apply changes.

        Args:
            name: prefix of its containers, networks and volumes; one host can carry several.
            keys: of ``make_server_keys``, or their folder; None: those of ``make certs``.
            fleet: address of this host on which sites are awaited, ``ADDRESS:PORT``.
            control: address of this host on which researchers are awaited.
            superlink: limits of the SuperLink.
            serverapp: where ServerApps run.
            overlays: features of compose/README.md, without the side: ``["postgres"]``.
            settings: further variables of compose/.env.example, no secrets.
            checkout: folder with the sources; None: see ``find_checkout``.
            timeout: seconds until all must be healthy, without the time that images take.

        Raises:
            MissingExtraError: python-on-whales is not installed.
            CheckoutNotFoundError: there are no sources.
            ParameterError: a parameter cannot be used.
            ToolError: an image, a key or a port is missing; says what to do.
            DeployError: the engine does not answer, or a container is not healthy in time; what
                was started stays, for ``Server.attach(name)`` to read its logs or stop it.
        """
        source, apps = find_checkout(checkout), serverapp or Executor()
        folder = keys.folder if isinstance(keys, ServerKeys) else keys or source.certificates
        wanted = {
            "FLWR_CERTS": str(Path(folder).expanduser().absolute()),
            **_published("FLEET", fleet),
            **_published("CONTROL", control),
            **(superlink or Daemon()).settings(_SUPERLINK),
            **apps.settings(_EXECUTOR),
            **(settings or {}),
        }
        return cls._start(name, Plan(wanted, _EXECUTOR, apps, overlays), source, timeout)

    def connect(self) -> SuperLink:
        """Return a connection to its SuperLink, from this host.

        Raises:
            DeployError: it does not run.
        """
        host, _, port = self.endpoints["control"]["address"].rpartition(":")
        address = f"{_DIALLED.get(host, host)}:{port}"
        if any(file.name.startswith(_CLEAR_TEXT) for file in self._files):
            return SuperLink.connect(address, insecure=True)
        keys = ServerKeys(Path(self._settings["FLWR_CERTS"]))
        return SuperLink.connect(address, root_certificates=keys.root_certificates)

    def _endpoints(self, containers: "Mapping[str, Container]") -> dict[str, Endpoint]:
        found: dict[str, Endpoint] = {}
        superlink = containers.get(_SUPERLINK)
        if superlink is None:
            return found
        ports = superlink.network_settings.ports or {}
        for api, port in (("fleet", FLEET_PORT), ("control", CONTROL_PORT)):
            for published in (ports.get(f"{port}/tcp") or [])[:1]:
                address = f"{published['HostIp']}:{published['HostPort']}"
                found[api] = Endpoint(address=address, network=None)
        appio = private_endpoint(f"serverappio:{SERVERAPPIO_PORT}", superlink, "serverapp-io")
        if appio is not None and _EXECUTOR in containers:
            found["serverappio"] = appio
        return found


def _published(api: str, address: str) -> dict[str, str]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise ParameterError(f"{api.lower()}: {address!r} is not ADDRESS:PORT")
    return {f"FLWR_{api}_BIND": host.strip("[]"), f"FLWR_{api}_PORT": port}
