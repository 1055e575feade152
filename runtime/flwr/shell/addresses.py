"""Settings that are addresses, checked when they are read."""

from collections.abc import Mapping
from typing import Any

from flwr.shell.settings import ConfigError


def read_address(values: Mapping[str, Any], name: str) -> str:
    """Return the HOST:PORT of a setting; a leading http(s):// is no part of it.

    Raises:
        ConfigError: it is none.
    """
    text = str(values[name]).removeprefix("https://").removeprefix("http://")
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdigit() and int(port) < 1 << 16):
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} is {text!r}", hint="write HOST:PORT, such as 127.0.0.1:9092")
    return text
