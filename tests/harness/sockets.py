"""Who listens where and who is connected to whom, read from /proc."""

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STATES: Final = {"01": "established", "0A": "listening"}


@dataclass(frozen=True)
class Socket:
    """One TCP socket of a process."""

    pid: int
    local: tuple[str, int]
    remote: tuple[str, int]
    state: str


def sockets(pids: Iterable[int]) -> list[Socket]:
    """Return the listening and established TCP sockets of ``pids``."""
    table = _table()
    found = []
    for pid in pids:
        for inode in _inodes(pid):
            if inode in table:
                local, remote, state = table[inode]
                found.append(Socket(pid, local, remote, state))
    return found


def _table() -> dict[str, tuple[tuple[str, int], tuple[str, int], str]]:
    table = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if (state := _STATES.get(fields[3])) is not None:
                table[fields[9]] = (_address(fields[1]), _address(fields[2]), state)
    return table


def _inodes(pid: int) -> set[str]:
    inodes = set()
    try:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    except OSError:
        return inodes
    return inodes


def _address(text: str) -> tuple[str, int]:
    host, port = text.split(":")
    words = bytes.fromhex(host)
    packed = b"".join(
        struct.pack("<I", *struct.unpack(">I", words[i : i + 4])) for i in range(0, len(words), 4)
    )
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    name = socket.inet_ntop(family, packed)
    return name.removeprefix("::ffff:"), int(port, 16)
