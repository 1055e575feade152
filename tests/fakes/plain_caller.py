"""A transport to a peer of the plain contract: it carries no streams."""

from collections.abc import Iterable

from flwr.core.errors import UnimplementedError
from flwr.wire.transport import Buffers, Take


class PlainCaller:
    """To be derived from by callers of one call at a time."""

    def stream(
        self, method: str, request: bytes, *, more: Iterable[Buffers] = (), take: Take
    ) -> None:
        """Refuse, as a peer does that does not know the method."""
        raise UnimplementedError(f"{method} is not known here")
