"""What an executor and its template say to each other: one packet for each word.

The socket keeps packets apart (``SOCK_SEQPACKET``); descriptors travel beside them.  An executor
asks for one thing at a time and gets one answer; ``exited`` comes unasked.

- ``load``, with the bundle and where to print: answered by ``loaded`` or ``unfit``.
- ``fork``, with a child's pipe, where it prints, what its ``environment`` has besides the
  template's, and what it is to do where that is small enough to be ``taken`` along: ``forked``,
  ``stale`` or ``not-forked``.
- ``retire``: no answer; the template ends with its last child.
- end of stream: the executor is gone; the template kills its children and ends.
"""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from flwr.core.errors import InvalidError

_WORDS_BYTES: Final = 16_384
MOST_TAKEN_ALONG: Final = 32_768
"""Bytes; several fit into the socket's buffer.  What is larger, a child asks for."""

_LONGEST: Final = _WORDS_BYTES + MOST_TAKEN_ALONG
_MAX_WHY: Final = 2_000  # characters
_MOST_DESCRIPTORS: Final = 2
_END: Final = "\0"  # of a word; neither names nor values of an environment have any


class Verb(StrEnum):
    """What a frame asks or says."""

    LOAD = "load"
    FORK = "fork"
    RETIRE = "retire"
    LOADED = "loaded"
    UNFIT = "unfit"  # ``why`` says so; the template ends
    FORKED = "forked"  # ``pid``
    STALE = "stale"  # the app's files have changed; the template is of no use any more
    NOT_FORKED = "not-forked"  # ``why``
    EXITED = "exited"  # ``pid`` with ``code``, negative for a signal


_VERBS: Final[Mapping[str, Verb]] = {verb.value: verb for verb in Verb}


@dataclass(frozen=True, slots=True)
class TemplateFrame:
    """One packet, without its descriptors."""

    verb: Verb
    pid: int = 0
    code: int = 0
    why: str = ""
    fab_hash: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    taken: bytes = b""


def send_frame(sock: socket.socket, frame: TemplateFrame, fds: Sequence[int] = ()) -> None:
    """Send one packet.

    Raises:
        OSError: the other end is gone.
    """
    why = frame.why[:_MAX_WHY].replace(_END, " ")
    settings = map("=".join, frame.environment.items())
    size = str(len(frame.taken))
    words = (size, frame.verb, str(frame.pid), str(frame.code), why, frame.fab_hash, *settings)
    text = _END.join(words).encode(errors="surrogatepass")
    socket.send_fds(sock, [text, frame.taken] if frame.taken else [text], fds)


def receive_frame(sock: socket.socket) -> tuple[TemplateFrame, list[int]] | None:
    """Return the next packet and its descriptors, None at the end of the stream.

    Raises:
        BlockingIOError: there is none, and the socket does not block.
        InvalidError: what came is no frame.
    """
    try:
        data, fds, _, _ = socket.recv_fds(sock, _LONGEST, _MOST_DESCRIPTORS)
    except ConnectionError:
        return None
    if not data:
        return None
    try:
        end = len(data) - int(data[: data.index(b"\0")])
        words = data[:end].decode(errors="surrogatepass").split(_END)
        _, verb, pid, code, why, fab_hash, *settings = words
        environment = dict(setting.split("=", 1) for setting in settings)
        frame = TemplateFrame(
            _VERBS[verb], int(pid), int(code), why, fab_hash, environment, data[end:]
        )
    except (ValueError, LookupError) as cause:
        raise InvalidError("a template sent a malformed frame") from cause
    return frame, fds
