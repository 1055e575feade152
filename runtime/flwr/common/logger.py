"""The logger of apps, and the legacy ways to set it up."""

import logging
import re
from typing import Final

from flwr.app.console_log import LOGGER_NAME, ConsoleFormatter, log, logger

__all__ = [
    "FLOWER_LOGGER",
    "LOGGER_NAME",
    "configure",
    "log",
    "logger",
    "set_logger_propagation",
    "update_console_handler",
    "warn_deprecated_feature",
    "warn_preview_feature",
    "warn_unsupported_feature",
]

FLOWER_LOGGER: Final = logger

_FILE_FORMAT: Final = (
    "{identifier} | %(levelname)s %(name)s %(asctime)s | %(filename)s:%(lineno)d | %(message)s"
)
_COLOUR: Final = re.compile(r"\033\[\d+m")


class _PlainFormatter(ConsoleFormatter):
    """The console's lines without colours."""

    def format(self, record: logging.LogRecord) -> str:
        return _COLOUR.sub("", super().format(record))


def configure(identifier: str, filename: str | None = None, host: str | None = None) -> None:
    """Write the log to a file, too; each line begins with ``identifier``.

    Args:
        identifier: of this process.
        filename: of the file, which is appended to; none if absent.
        host: sending the log over HTTP is not part of this release; it is said so and ignored.
    """
    if host:
        log(logging.WARNING, "Sending the log to a host is not supported, %s is ignored", host)
    if filename:
        handler = logging.FileHandler(filename)
        handler.setLevel(logging.DEBUG)
        handler.setFormatter(logging.Formatter(_FILE_FORMAT.format(identifier=identifier)))
        logger.addHandler(handler)


def update_console_handler(
    level: int | str | None = None,
    timestamps: bool | None = None,
    colored: bool | None = None,
) -> None:
    """Change what the console shows; what is None keeps as it is.

    Args:
        level: lowest level shown.
        timestamps: whether lines show the time of day.
        colored: whether the level has a colour.
    """
    for handler in _consoles():
        if level is not None:
            handler.setLevel(level)
            logger.setLevel(min(logger.level or handler.level, handler.level))
        shown = handler.formatter
        was_timed = isinstance(shown, ConsoleFormatter) and shown.with_time
        was_coloured = not isinstance(shown, _PlainFormatter)
        style = (
            ConsoleFormatter if (was_coloured if colored is None else colored) else _PlainFormatter
        )
        handler.setFormatter(style(with_time=was_timed if timestamps is None else timestamps))


def set_logger_propagation(child_logger: logging.Logger, value: bool = True) -> logging.Logger:
    """Let ``child_logger`` hand its records on to its parents, or not."""
    child_logger.propagate = value
    return child_logger


def warn_preview_feature(name: str) -> None:
    """Log that a feature may still change."""
    log(logging.WARNING, "PREVIEW FEATURE: %s (it may change, or go again)", name)


def warn_deprecated_feature(name: str) -> None:
    """Log that a feature will go."""
    log(logging.WARNING, "DEPRECATED FEATURE: %s (it will be removed)", name)


def warn_unsupported_feature(name: str) -> None:
    """Log that nobody looks after a feature."""
    log(logging.WARNING, "UNSUPPORTED FEATURE: %s (use it at your own risk)", name)


def _consoles() -> list[logging.Handler]:
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]
