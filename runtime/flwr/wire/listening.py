"""Where a server listens: an address, or a name that stands for addresses of this machine.

In a container a name such as ``serverappio`` stands for the container's address in one network: a
server that listens on it is not to be reached through the others.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from flwr.core.errors import InvalidError
from flwr.wire.channel import join_address, split_address

NAME_PATIENCE: Final = timedelta(seconds=10)  # a name may be published just after our start
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 1.0


class CannotListenError(InvalidError):
    """The address cannot be bound on this machine."""

    def __init__(self, address: str, why: str) -> None:
        """Name the address and the system's reason."""
        super().__init__(
            f"cannot listen on {address}: {why}",
            hint="use an address or name of this machine, 0.0.0.0, or a port above 1023",
        )


async def until_resolvable(
    addresses: Iterable[str], *, patience: timedelta = NAME_PATIENCE
) -> None:
    """Wait until the host name in each of ``addresses`` is known.

    Raises:
        CannotListenError: one is not known within ``patience``.
    """
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + patience.total_seconds(), _FIRST_PAUSE_S
    for address in addresses:
        while True:
            try:
                await asyncio.to_thread(literal_addresses, address)
                break
            except CannotListenError:
                if loop.time() + pause > deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)


def literal_addresses(address: str) -> list[str]:
    """Return ``address`` with its name replaced by each of the addresses it stands for.

    Raises:
        AddressError: it is no ``host:port``.
        CannotListenError: nobody knows the name.
    """
    host, port = split_address(address)
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [join_address(host, port)]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as cause:
        raise CannotListenError(address, f"the name {host!r} is not known here") from cause
    literals = [join_address(str(place[0]), port) for *_, place in found]
    unique = list(dict.fromkeys(literals))
    return unique if port else unique[:1]  # two free ports would not be one address
