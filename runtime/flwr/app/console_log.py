"""The logger apps and strategies write to, and how it looks on a console (app API §11.1)."""

import logging
import os
import sys
from typing import Any, Final, TextIO

LOGGER_NAME: Final = "flwr"
LEVEL_VARIABLE: Final = "FLWR_LOG_LEVEL"

_COLOURS: Final = {"DEBUG": 94, "INFO": 92, "WARNING": 93, "ERROR": 91, "CRITICAL": 95}
_LEVEL_WIDTH: Final = 8  # longest level name

logger: Final = logging.getLogger(LOGGER_NAME)
log: Final = logger.log


class ConsoleFormatter(logging.Formatter):
    """``LEVEL :      message``, the level coloured, with the time of day when ``with_time``."""

    def __init__(self, *, with_time: bool = False) -> None:
        super().__init__()
        self.with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of ``record``; a traceback follows on lines of its own."""
        level = record.levelname
        colour = _COLOURS.get(level, 0)
        time = self.formatTime(record) if self.with_time else ""
        padding = " " * (_LEVEL_WIDTH - len(level))
        text = record.getMessage()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return f"\033[{colour}m{level} {time}\033[0m: {padding} {text}"


def configure_console(stream: TextIO | None = None, *, level: str | None = None) -> None:
    """Send the ``flwr`` logger to ``stream``, once; calling it again replaces the former console.

    Args:
        stream: standard error if absent.
        level: name of the lowest level shown; ``FLWR_LOG_LEVEL``, else INFO, if absent.

    Raises:
        ValueError: there is no such level.
    """
    wanted = (level or os.environ.get(LEVEL_VARIABLE) or "INFO").upper()
    handler: logging.StreamHandler[Any] = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(ConsoleFormatter(with_time=wanted == "DEBUG"))
    logger.setLevel(wanted)
    logger.handlers[:] = [handler]
    logger.propagate = False
