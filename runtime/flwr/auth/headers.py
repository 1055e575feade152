"""Reading request headers: a proof counts only when its key occurs once and is not empty."""

from collections.abc import Iterable

Headers = Iterable[tuple[str, str | bytes]]


def find_header(headers: Headers, key: str) -> str | bytes | None:
    """Return the only, non-empty value of ``key``; None when missing, empty or repeated."""
    values = [value for name, value in headers if name == key]
    return values[0] if len(values) == 1 and values[0] else None


def find_text(headers: Headers, key: str) -> str | None:
    """Return the only, non-empty text of ``key``; None also when it is binary."""
    value = find_header(headers, key)
    return value if isinstance(value, str) else None


def find_binary(headers: Headers, key: str) -> bytes | None:
    """Return the only, non-empty bytes of ``key``; None also when it is text."""
    value = find_header(headers, key)
    return value if isinstance(value, bytes) else None
