"""How a process that was forked for one message ends: like an interpreter, and sooner."""

import atexit
import gc
import io
import os
import sys
import threading
from typing import Final, NoReturn

_FILES: Final = (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)


def end(code: int) -> NoReturn:
    """End as an interpreter does, but for taking it apart, which takes longer than many a message.

    What was printed or written is kept also where a file was never closed.
    """
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  # joins its threads
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
