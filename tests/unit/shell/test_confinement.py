import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flwr.shell import confinement, landlock
from flwr.shell.confinement import Plan, confine_app, plan, readable_beside

NEEDS_LANDLOCK = pytest.mark.skipif(
    landlock.why_unavailable() is not None, reason=str(landlock.why_unavailable())
)
READ_ONLY = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, os.ST_RDONLY, 255))
WRITABLE = os.statvfs_result((4096, 4096, 0, 0, 0, 0, 0, 0, 0, 255))

# What a process says that confined itself, beside another that it started before.
TRIES = """
import ctypes, json, os, pathlib, subprocess, sys, threading, time
from flwr.shell.confinement import confine_app
folder = pathlib.Path(sys.argv[1])
neighbour = subprocess.Popen(["sleep", "60"])
aside = f"/proc/{neighbour.pid}"
environment = pathlib.Path(aside, "environ")
for _ in range(500):  # a process is there a moment before its environment is
    if before := bool(environment.read_bytes()):
        break
    time.sleep(0.01)
confine_app(folder / "secrets")

def met(deed):
    try:
        return deed()
    except OSError as error:
        return error.strerror

def moved():
    os.rename(folder / "one" / "a", folder / "two" / "a")
    return "moved"

def taken():
    os.link(folder / "secrets" / "key", folder / "two" / "key")
    return (folder / "two" / "key").read_text()

def traced():
    library = ctypes.CDLL(None, use_errno=True)
    library.ptrace.argtypes = [ctypes.c_long] * 4
    if library.ptrace(16, neighbour.pid, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return "traced"

cat = [sys.executable, "-c", "import sys; open(sys.argv[1])", str(folder / "secrets" / "key")]
print(json.dumps({
    "before": before,
    "secret": met((folder / "secrets" / "key").read_text),
    "through a link": met((folder / "link").read_text),
    "through a root": met(pathlib.Path(f"{aside}/root{folder}/secrets/key").read_text),
    "by a child": subprocess.run(cat, stderr=subprocess.PIPE, text=True).stderr.split("\\n")[-2],
    "taken out": met(taken),
    "environment": met(environment.read_text),
    "memory": met(lambda: open(f"{aside}/mem", "rb").close()),
    "trace": met(traced),
    "moved": met(moved),
    "sibling": met((folder / "two" / "b").read_text),
    "own environment": met(lambda: bool(pathlib.Path("/proc/self/environ").read_bytes())),
    "device": met(lambda: len(open("/dev/urandom", "rb").read(3))),
    "written": met(lambda: (folder / "new").write_text("x") and (folder / "one/c").write_text("x")),
}))
neighbour.kill()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("secrets", "one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "secrets" / "key").write_text("hush")
    (tmp_path / "one" / "a").write_text("a")
    (tmp_path / "two" / "b").write_text("b")
    (tmp_path / "link").symlink_to("secrets/key")
    return tmp_path


@NEEDS_LANDLOCK
@pytest.mark.slow
def test_a_confined_process_reads_all_but_what_is_withheld(folder: Path) -> None:
    # Root may read environments with CAP_PERFMON; nobody whom apps run as has that.
    powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    tries = [*powerless, sys.executable, "-c", TRIES, str(folder)]
    said = subprocess.run(tries, check=True, stdout=subprocess.PIPE).stdout
    refused = "Permission denied"
    assert json.loads(said) == {
        "before": True,
        "secret": refused,
        "through a link": refused,
        "through a root": refused,
        "by a child": f"PermissionError: [Errno 13] {refused}: '{folder}/secrets/key'",
        "taken out": "Invalid cross-device link",
        "environment": refused,
        "memory": refused,
        "trace": "Operation not permitted",
        "moved": "moved",
        "sibling": "b",
        "own environment": True,
        "device": 3,
        "written": 1,
    }


@pytest.mark.slow
def test_the_app_is_confined_before_there_is_a_second_thread() -> None:
    script = "import os, flwr.runner.child; print(len(os.listdir('/proc/self/task')))"
    said = subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.PIPE).stdout
    assert said == b"1\n", "numpy starts threads: it must not be loaded with this module"


def test_what_can_be_read_are_the_siblings_on_every_level(folder: Path) -> None:
    found = readable_beside(folder / "secrets")
    assert {folder / "one", folder / "two", Path("/proc"), Path("/usr")} <= set(found)
    assert not [path for path in found if (folder / "secrets").is_relative_to(path)]
    assert folder / "link" not in found


def test_a_kernel_without_landlock_is_told_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise landlock.LandlockError("this kernel has no Landlock")

    monkeypatch.setattr(landlock, "_call", refuse)
    planned = plan(Path("/run/secrets/key"))
    assert planned.withheld is None
    assert planned.warning is not None
    assert "/run/secrets/key" in planned.warning
    assert "no Landlock" in planned.warning
    confine_app(None)
    with pytest.raises(landlock.LandlockError):
        confine_app(Path("/run/secrets"))  # promised when it was there


class TestPlan:
    @pytest.fixture(autouse=True)
    def _landlock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(confinement, "why_unavailable", lambda: None)
        monkeypatch.setattr(os, "statvfs", lambda _: READ_ONLY)

    def test_without_a_secret_nothing_is_withheld(self) -> None:
        assert plan(None) == Plan()

    def test_the_directory_of_the_secret_is_withheld(self, folder: Path) -> None:
        assert plan(folder / "secrets" / "key") == Plan(withheld=folder / "secrets")

    def test_not_where_files_may_be_added_beside_it(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "statvfs", lambda p: WRITABLE if p == folder else READ_ONLY)
        planned = plan(folder / "secrets" / "key")
        assert planned.withheld is None
        assert f"{folder} is not on a read-only file system" in str(planned.warning)

    def test_not_where_apps_need_what_lies_beside_it(self) -> None:
        planned = plan(Path(sys.prefix) / "secret")
        assert planned.withheld is None
        assert "a directory of its own" in str(planned.warning)

    def test_not_where_the_secret_is_elsewhere(self, folder: Path) -> None:
        (folder / "two" / "alias").symlink_to(folder / "secrets" / "key")
        planned = plan(folder / "two" / "alias")
        assert planned.withheld is None
        assert "link" in str(planned.warning)
