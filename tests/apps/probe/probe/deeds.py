"""What an app can try in its container; every deed answers with something JSON can hold."""

import ctypes
import importlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

_RUNTIME = re.compile(r"/flower-|/flwr-|flwr\.")  # command lines of daemons, executors and runners


def look(folders: str) -> dict[str, object]:
    """Everything that lies open to an app: its own process, its neighbours', these folders."""
    others = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            others[entry.name] = [_text(entry / "cmdline"), _text(entry / "environ")]
    return {
        "environment": dict(os.environ),
        "processes": others,
        "descriptors": sorted(_target(fd) for fd in Path("/proc/self/fd").iterdir()),
        "written": write(folders),
    }


def import_(modules: str) -> dict[str, str]:
    """Import modules and say where they came from."""
    return {name: str(importlib.import_module(name).__file__) for name in modules.split()}


def allocate(megabytes: str) -> int:
    """Take memory and touch it."""
    taken = [bytearray(os.urandom(1 << 20)) for _ in range(int(megabytes))]
    return len(taken)


def thread(_: str) -> int:
    """Start threads until the kernel refuses, and say how many there were."""
    enough = threading.Event()
    started = []
    try:
        while len(started) < 5000:
            thread = threading.Thread(target=enough.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        enough.set()
    return len(started)


def write(paths: str) -> dict[str, str]:
    """Try to create a file in each folder."""
    met = {}
    for folder in paths.split():
        try:
            Path(folder, "probe").write_text("was here")
            met[folder] = "written"
        except OSError as error:
            met[folder] = str(error.strerror)
    return met


def take(files: str) -> dict[str, dict[str, str]]:
    """Try to read these files, here and through every process of the runtime, and its memory."""
    met = {"here": {file: _outcome(_read, file) for file in files.split()}}
    for entry in Path("/proc").iterdir():
        command = _text(entry / "cmdline") if entry.name.isdigit() else ""
        if _RUNTIME.search(command) and int(entry.name) != os.getpid():
            tried = {
                **{file: _outcome(_read, f"{entry}/root{file}") for file in files.split()},
                **{name: _outcome(_read, f"{entry}/{name}") for name in ("environ", "mem")},
                "descriptors": _outcome(os.readlink, f"{entry}/fd/0"),
                "trace": _outcome(_trace, entry.name),
            }
            if _text(entry / "cmdline") == command:  # else it ended: its empty memory is anybody's
                met[f"{entry.name} {' '.join(command.split())}"] = tried
    return met


def cuda(_: str) -> dict[str, object]:
    """Which GPUs are left to this process, and how many of them CUDA finds; None without CUDA."""
    met: dict[str, object] = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES"), "found": None}
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return met
    count = ctypes.c_int()
    if library.cuInit(0) == 0 and library.cuDeviceGetCount(ctypes.byref(count)) == 0:
        met["found"] = count.value
    return met


DEEDS = {
    "look": look,
    "import": import_,
    "allocate": allocate,
    "thread": thread,
    "take": take,
    "cuda": cuda,
}


def _outcome(deed: Callable[[str], object], what: str) -> str:
    try:
        deed(what)
    except OSError as error:
        return str(error.strerror)
    return "had"


def _read(path: str) -> None:
    with Path(path).open("rb", buffering=0) as file:
        if not path.endswith("/mem"):  # opening that one is all the right there is
            file.read(1)


def _trace(pid: str) -> None:
    seize, zero = ctypes.c_long(0x4206), ctypes.c_long(0)  # stops nobody; ends with this process
    library = ctypes.CDLL(None, use_errno=True)
    if library.ptrace(seize, ctypes.c_long(int(pid)), zero, zero) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().replace(b"\0", b"\n").decode(errors="replace")
    except OSError as error:
        return str(error.strerror)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
