"""Failures of a ClientApp that the runtime turns into error replies (wire contract §7.4)."""


class LoadClientAppError(Exception):
    """The app's ClientApp cannot be loaded."""


class ClientAppException(Exception):  # noqa: N818  public name
    """The app's ClientApp raised; the text names what."""

    def __init__(self, message: str) -> None:
        super().__init__(f"\nException {type(self).__name__} occurred. Message: {message}")
