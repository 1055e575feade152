"""A wire tap: a relay on loopback that remembers every byte that passed."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Self

_READ_BYTES: Final = 65_536


class Tap:
    """Listens on a free port and passes connections on to ``target``."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passed = bytearray()
        self._ends: list[socket.socket] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def captured(self) -> bytes:
        return bytes(self._passed)

    def cut(self) -> None:
        """Break every connection there is; new ones are passed on."""
        for end in tuple(self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._ends += [caller, server]
                for ends in ((caller, server), (server, caller)):
                    threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_READ_BYTES):
                self._passed += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
