"""Error: why a reply carries no content."""


class Error:
    """Code (wire contract §7.4) and, for a person, the reason.

    Args:
        code: one of ``core.message.ErrorCode``; unknown codes are kept.
        reason: free text, may be absent.
    """

    def __init__(self, code: int, reason: str | None = None) -> None:
        self._code = int(code)  # an enum member prints as its number
        self._reason = reason

    @property
    def code(self) -> int:
        """What kind of failure."""
        return self._code

    @property
    def reason(self) -> str | None:
        """The failure in words."""
        return self._reason

    def __repr__(self) -> str:
        return f"Error(code={self._code!r}, reason={self._reason!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Error):
            raise NotImplementedError  # contract: app API §3.9
        return (self._code, self._reason) == (other._code, other._reason)

    __hash__ = None  # type: ignore[assignment]  # mutable by contract of its siblings; never a key
