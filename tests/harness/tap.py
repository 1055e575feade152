"""A wire tap: a relay on loopback that remembers every byte that passed."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Final, Literal, Self

_READ_BYTES: Final = 65_536
_HELD_S: Final = 120  # a test that fails lets go, too

Direction = Literal["up", "down"]
"""From those who connect to the target, and back."""


class _Hold:
    """Lets so many bytes pass, and then nothing until it ends."""

    def __init__(self, after: int) -> None:
        self._left = after
        self.is_reached, self.is_over = threading.Event(), threading.Event()

    def passed(self, size: int) -> None:
        self._left -= size
        if self._left <= 0:
            self.is_reached.set()
            self.is_over.wait(_HELD_S)


class Tap:
    """Listens on a free port and passes connections on to ``target``."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passed = bytearray()
        self._ends: list[socket.socket] = []
        self._holds: dict[Direction, _Hold] = {}

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

    def hold(self, direction: Direction, after: int) -> None:
        """Let ``after`` bytes more pass in one direction, then none until ``release``."""
        self._holds[direction] = _Hold(after)

    def await_held(self, direction: Direction) -> None:
        """Wait until something is stopped on its way."""
        reached = self._holds[direction].is_reached.wait(_HELD_S)
        assert reached, f"nothing large went {direction}"

    def release(self, direction: Direction) -> None:
        """Let pass what was stopped, and all that follows."""
        self._holds.pop(direction).is_over.set()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hold in self._holds.values():
            hold.is_over.set()
        for end in (self._listener, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                self._connect(caller)

    def _connect(self, caller: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target)
        except OSError:  # nobody is there: no more for the caller
            caller.close()
            return
        self._ends += [caller, server]
        for ends in ((caller, server, "up"), (server, caller, "down")):
            threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, direction: Direction) -> None:
        try:
            while data := source.recv(_READ_BYTES):
                self._passed += data
                if hold := self._holds.get(direction):
                    hold.passed(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:  # one of them is gone: so it is for the other
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
