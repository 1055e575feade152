"""The log as apps show it: upstream's line format, on the app's own standard error."""

import logging
import os
import sys
from typing import Final

_RESET: Final = "\x1b[0m"
_COLOURS: Final = {
    logging.DEBUG: "\x1b[94m",
    logging.INFO: "\x1b[92m",
    logging.WARNING: "\x1b[93m",
    logging.ERROR: "\x1b[91m",
    logging.CRITICAL: "\x1b[95m",
}
_NAME_WIDTH: Final = 8


class AppLineFormatter(logging.Formatter):
    """Formats "LEVEL :      message" (app API §11.1); a time stamp only at debug level."""

    def __init__(self, *, with_time: bool) -> None:
        super().__init__()
        self._with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one coloured line, with its traceback below."""
        level = record.levelname
        time = f" {self.formatTime(record)}" if self._with_time else ""
        pad = " " * (_NAME_WIDTH - len(level))
        line = (
            f"{_COLOURS.get(record.levelno, '')}{level} {_RESET}{time}: {pad} {record.getMessage()}"
        )
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure_app_log() -> None:
    """Send the log of ``flwr`` to standard error, where it joins what the app prints."""
    level = os.environ.get("FLWR_LOG_LEVEL", "INFO").upper()
    known = logging.getLevelNamesMapping().get(level, logging.INFO)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(AppLineFormatter(with_time=known <= logging.DEBUG))
    logger = logging.getLogger("flwr")
    logger.handlers[:] = [handler]
    logger.setLevel(known)
    logger.propagate = False
