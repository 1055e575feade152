"""How a process that was forked for one message ends: like an interpreter, and sooner."""

import atexit
import gc
import io
import logging
import os
import sys
import threading
from typing import Any, Final, NoReturn

_FILES: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)
_HOOKS: Final[list[Any]] = threading._threading_atexits  # type: ignore[attr-defined]  # noqa: SLF001


def leave_own_logging() -> None:
    """Have the end of each fork shut logging down only if the app has handlers of its own.

    Ours keep nothing back.  Called before the app's import, when ours are there.
    """
    atexit.unregister(logging.shutdown)
    atexit.register(_shut_logging_down, _newest_handler())


def end(code: int) -> NoReturn:
    """End as an interpreter does, but for taking it apart, which takes longer than many a message.

    What was printed or written is kept also where a file was never closed.
    """
    try:
        # Where there is nothing to join or to call, it is pages of memory that it costs.
        if threading.active_count() > 1 or _HOOKS:
            threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001
        atexit._run_exitfuncs()  # noqa: SLF001
    except BaseException:  # noqa: BLE001  # nobody is above us
        sys.excepthook(*sys.exc_info())
    finally:
        flush_open_files()
        os._exit(code)


def flush_open_files() -> None:
    """Write out what Python's files keep back, also those that are never closed."""
    files = [found for found in gc.get_objects() if isinstance(found, _FILES)]
    for file in (sys.stdout, sys.stderr, *files):
        try:  # noqa: SIM105  # in every fork, where each other function costs pages
            file.flush()
        except Exception:  # noqa: BLE001, S110  # it is closed, or nobody reads it
            pass


def _shut_logging_down(newest: list[Any]) -> None:
    """Do so unless the newest handler is still the one that was: more are appended."""
    if _newest_handler() != newest:
        logging.shutdown()


def _newest_handler() -> list[Any]:
    """Return a reference to it, if there is one."""
    handlers: list[Any] = logging._handlerList  # type: ignore[attr-defined]  # noqa: SLF001
    return handlers[-1:]
