"""How a fork for one message ends: nothing that an app left to the end is lost."""

import subprocess
import sys
from pathlib import Path

import pytest

# What is kept back is written by logging's own end: a file would be flushed anyway.
BUFFERED = """
kept = logging.handlers.MemoryHandler(100, target=logging.FileHandler(path, delay=True))
logging.getLogger("app").addHandler(kept)
"""
CONFIGURED = """
buffered = {"class": "logging.handlers.MemoryHandler", "capacity": 100, "target": "file"}
logging.config.dictConfig({
    "version": 1,
    "handlers": {"file": {"class": "logging.FileHandler", "filename": path}, "kept": buffered},
    "loggers": {"app": {"handlers": ["kept"]}},
})
"""
SAYS = 'logging.getLogger("app").warning("kept")'
WRITES = 'open(path, "a").write("kept")'


def forked(path: Path, before: str = "", within: str = "") -> str:
    """Run code before and in a fork that ends; return what is in the file then."""
    script = f"""
import atexit, logging.config, logging.handlers, os, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from flwr.app.console_log import configure_console
from flwr.shell.ending import end, leave_own_logging
path = sys.argv[1]
configure_console()
leave_own_logging()
{before}
if (pid := os.fork()) == 0:
    {within.replace(chr(10), chr(10) + "    ")}
    end(3)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", script, path], check=True, timeout=60)
    return path.read_text() if path.exists() else ""


@pytest.mark.parametrize("handlers", [BUFFERED, CONFIGURED])
def test_what_an_apps_log_handler_keeps_back_is_written(handlers: str, tmp_path: Path) -> None:
    assert forked(tmp_path / "at-import", before=handlers, within=SAYS) == "kept\n"
    assert forked(tmp_path / "in-fork", within=f"{handlers}\n{SAYS}") == "kept\n"


def test_our_own_handlers_are_left_alone(tmp_path: Path) -> None:
    tells = f"logging.shutdown = lambda: {WRITES}"

    assert forked(tmp_path / "ours", within=tells) == ""
    assert forked(tmp_path / "more", within=f"{tells}\nlogging.StreamHandler().close") == ""
    held = "held = logging.StreamHandler()"
    assert forked(tmp_path / "held", within=f"{tells}\n{held}") == "kept"


@pytest.mark.parametrize(
    "left",
    [
        f"atexit.register(lambda: {WRITES})",
        f"threading.Thread(target=lambda: (time.sleep(0.1), {WRITES})).start()",
        f"ThreadPoolExecutor(1).submit(lambda: (time.sleep(0.1), {WRITES}))",
        'unclosed = open(path, "w"); unclosed.write("kept")',
    ],
    ids=["exit handler", "thread", "pool", "file"],
)
def test_what_an_app_leaves_to_the_end_is_done(left: str, tmp_path: Path) -> None:
    assert forked(tmp_path / "file", within=left) == "kept"
