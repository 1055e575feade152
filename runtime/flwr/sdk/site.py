"""A site's side of a federation in containers: a SuperNode and the executor of its ClientApps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from flwr.core.limits import CLIENTAPPIO_PORT
from flwr.sdk.checkout import find_checkout
from flwr.sdk.deployment import HEALTHY_S, Deployment, Endpoint, Plan, private_endpoint
from flwr.sdk.keys import ServerKeys, SiteKeys
from flwr.sdk.parameters import Daemon, Executor, ParameterError, node_config

if TYPE_CHECKING:
    from python_on_whales import Container

_SUPERNODE: Final = "supernode-1"
_EXECUTOR: Final = "clientapp-1"


class Site(Deployment):
    """One SuperNode in containers on this host; for several, deploy several, each with a name."""

    side: ClassVar[str] = "site"

    @classmethod
    def deploy(
        cls,
        name: str,
        *,
        superlink: str,
        keys: SiteKeys | ServerKeys | Path | str | None = None,
        number: int = 1,
        data: Path | str | None = None,
        config: Mapping[str, bool | float | str] | None = None,
        supernode: Daemon | None = None,
        clientapp: Executor | None = None,
        overlays: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        checkout: Path | str | None = None,
        timeout: float = HEALTHY_S,
    ) -> Self:
        """Start a site and return it once it is connected; again: apply changes.

        Nothing dials in, and no port is published.

        Args:
            name: of the site: what apps find in ``node_config["name"]``, and the prefix of its
                containers, networks and volumes.
            superlink: the Fleet API to dial, ``HOST:PORT``, by a name its certificate is for.
            keys: of ``make_site_keys``, whose public half must be admitted before
                (``SuperLink.register_node``), or their folder; None: those of ``make certs``.
            number: which of the folder's keys: those of supernode-NUMBER.
            data: folder of this host that apps read at /mnt/data.
            config: what apps find in ``node_config``; None: partition 0 of 1.
            supernode: limits of the SuperNode.
            clientapp: where ClientApps run.
            overlays: features of compose/README.md, without the side: ``["gpu"]``.
            settings: further variables of compose/.env.example, no secrets.
            checkout: folder with the sources; None: see ``find_checkout``.
            timeout: seconds until it must be connected, without the time that images take.

        Raises:
            MissingExtraError: python-on-whales is not installed.
            CheckoutNotFoundError: there are no sources.
            ParameterError: a parameter cannot be used.
            ToolError: an image or a key is missing; says what to do.
            DeployError: the engine does not answer, or the site is not connected in time; what
                was started stays, for ``Site.attach(name)`` to read its logs or stop it.
        """
        source, apps = find_checkout(checkout), clientapp or Executor()
        own = keys.folder if isinstance(keys, SiteKeys | ServerKeys) else keys
        wanted = {
            "FLWR_CERTS": str(Path(own or source.certificates).expanduser().absolute()),
            "FLWR_SUPERLINK": superlink,
            "FLWR_NODES": "1",
            "COMPOSE_PROFILES": "nodes-1",
            "FLWR_NODE_1_NAME": name,
            "FLWR_NODE_1_NUMBER": str(number),
            **_data(data),
            **({"FLWR_NODE_1_CONFIG": node_config(config)} if config else {}),
            **(supernode or Daemon()).settings("supernode"),
            **apps.settings("clientapp"),
            **(settings or {}),
        }
        return cls._start(name, Plan(wanted, _EXECUTOR, apps, overlays), source, timeout)

    def _endpoints(self, containers: "Mapping[str, Container]") -> dict[str, Endpoint]:
        supernode = containers.get(_SUPERNODE)
        if supernode is None or _EXECUTOR not in containers:
            return {}
        address = f"clientappio:{CLIENTAPPIO_PORT}"
        appio = private_endpoint(address, supernode, "clientapp-io-1")
        return {} if appio is None else {"clientappio": appio}


def _data(data: Path | str | None) -> dict[str, str]:
    if data is None:
        return {}
    folder = Path(data).expanduser().absolute()
    if not folder.is_dir():
        raise ParameterError(f"data: there is no folder {folder}")
    return {"FLWR_NODE_1_DATA": str(folder)}
