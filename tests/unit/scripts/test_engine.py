"""Starting and stopping the engine: which pid files count, what is mounted, what is refused."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripts import engine, engine_pieces
from scripts.debian import SetupError


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """Make a /proc with an engine (4), a zombie engine (5) and another program (6)."""
    for pid, stat in {
        4: "4 (dockerd) S 1 4 4 0 -1",
        5: "5 (dockerd) Z 1 5 5 0 -1",
        6: "6 (tricky) dockerd) S 1 6 6 0 -1",
    }.items():
        (tmp_path / "proc" / str(pid)).mkdir(parents=True)
        (tmp_path / "proc" / str(pid) / "stat").write_text(stat)
    return tmp_path / "proc"


@pytest.mark.parametrize(
    ("content", "pid"),
    [("4", 4), ("4\n", 4), ("5", None), ("6", None), ("7", None), ("", None), ("what", None)],
    ids=["live", "newline", "zombie", "other program", "nobody", "empty", "no number"],
)
def test_a_pid_file_counts_only_when_it_names_a_live_engine(
    tmp_path: Path, proc: Path, content: str, pid: int | None
) -> None:
    pidfile = tmp_path / "dockerd.pid"
    pidfile.write_text(content)
    assert engine.live_process(pidfile, "dockerd", proc) == pid


def test_an_absent_pid_file_names_no_engine(tmp_path: Path, proc: Path) -> None:
    assert engine.live_process(tmp_path / "none.pid", "dockerd", proc) is None


def test_a_zombie_is_not_alive(proc: Path) -> None:
    assert engine.is_alive(4, proc)
    assert not engine.is_alive(5, proc)
    assert not engine.is_alive(7, proc)


def test_stale_pid_files_are_removed_and_live_ones_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, stale, absent = (tmp_path / name for name in ("mine.pid", "stale.pid", "absent.pid"))
    mine.write_text(str(os.getpid()))
    stale.write_text(str(os.getpid()))
    program, _ = engine.parse_stat(Path(f"/proc/{os.getpid()}/stat").read_text())
    monkeypatch.setattr(engine, "PIDFILE", stale)
    monkeypatch.setattr(engine, "USUAL_PIDFILE", absent)
    monkeypatch.setattr(engine, "CONTAINERD_PIDFILE", mine)
    real = engine.live_process

    def pretend_to_be_containerd(file: Path, wanted: str) -> int | None:
        return real(file, program if wanted == "containerd" else wanted)

    monkeypatch.setattr(engine, "live_process", pretend_to_be_containerd)
    engine.remove_stale_pidfiles()
    assert mine.exists()
    assert not stale.exists()


@pytest.mark.parametrize(
    ("mounts", "mounted"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", True),
        ("tmpfs /tmp tmpfs rw 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n", True),
        ("sysfs /sys sysfs rw 0 0\nnone /sys/fs/cgroups-not cgroup2 rw 0 0\n", False),
        ("", False),
    ],
)
def test_cgroups_count_as_mounted_at_or_below_their_folder(mounts: str, mounted: bool) -> None:
    assert engine.is_mounted(mounts, Path("/sys/fs/cgroup")) is mounted


def test_an_engine_that_is_too_old_is_refused_with_what_to_do() -> None:
    engine.check_minimum("26.1.5+dfsg1")
    with pytest.raises(SetupError, match="Engine 25") as refusal:
        engine.check_minimum("20.10.24+dfsg1")
    assert "install" in refusal.value.remedy


def test_up_does_nothing_when_an_engine_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_pieces, "server_version", lambda: "28.0.1")
    monkeypatch.setattr(engine, "start", lambda: pytest.fail("started a second engine"))
    assert engine.main(["up"]) == 0
    assert "28.0.1" in capsys.readouterr().out


def test_up_without_an_engine_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine_pieces, "server_version", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert engine.main(["up"]) == 3
    assert "engine.py install" in capsys.readouterr().err


def test_down_leaves_an_engine_alone_that_up_did_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "PIDFILE", tmp_path / "none.pid")
    monkeypatch.setattr(engine_pieces, "server_version", lambda: "28.0.1")
    monkeypatch.setattr(engine, "stop", lambda _: pytest.fail("stopped somebody's engine"))
    assert engine.main(["down"]) == 0
    assert "left alone" in capsys.readouterr().out


@pytest.fixture
def started() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start Python programs that say when they are ready; end them afterwards."""
    processes: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        ready = f"import signal, time\n{code}\nprint(flush=True)\ntime.sleep(60)"
        process = subprocess.Popen([sys.executable, "-S", "-c", ready], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_stopping_asks_first_and_takes_a_zombie_for_gone(
    started: Callable[[str], subprocess.Popen[bytes]], capsys: pytest.CaptureFixture[str]
) -> None:
    process = started("")
    engine.stop(process.pid)  # nobody has waited for it: it is a zombie now
    assert process.wait() == -signal.SIGTERM
    assert capsys.readouterr().out == ""


def test_what_does_not_stop_in_time_is_killed(
    started: Callable[[str], subprocess.Popen[bytes]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine, "STOP_S", 0.2)
    process = started("signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    engine.stop(process.pid)
    assert process.wait() == -signal.SIGKILL
    assert "killed" in capsys.readouterr().out


def test_stopping_what_is_gone_is_no_error(
    started: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    process = started("")
    process.kill()
    process.wait()
    engine.stop(process.pid)


def test_an_unknown_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        engine.main(["restart"])
    assert ended.value.code == 2
    assert "restart" in capsys.readouterr().err
