"""Steps of a long job, as a person at a terminal or the reader of a log wants to see them.

A step that is a command shows its elapsed time and last line while it runs, keeps its whole output
in a file, and shows the end of it only when it fails.
"""

import re
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

SHOWN_LINES: Final = 15  # of a failed command
REPAINT_S: Final = 0.2
SIGN_OF_LIFE_S: Final = 20.0  # where nothing can be repainted
STOP_S: Final = 15.0
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f]")


class StepError(Exception):
    """A step failed; the text is the cause and, on a line of its own, what to do."""


class Progress:
    """Numbers the steps, times them, and remembers the times."""

    def __init__(self, total: int, logs: Path, out: IO[str] = sys.stdout) -> None:
        self.times: dict[str, float] = {}
        self._total, self._logs, self._out = total, logs, out
        self._is_terminal = out.isatty()
        self._detail = ""
        logs.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def step(self, name: str, *, streams: bool = False) -> Iterator["Progress"]:
        """Announce a step, time it, and close its line with what ``note`` was told last.

        Args:
            name: what a person calls the step.
            streams: the step prints lines of its own.
        """
        number, started, self._detail = len(self.times) + 1, time.monotonic(), ""
        title = f"[{number}/{self._total}] {name}"
        self._write(title + ("\n" if streams or not self._is_terminal else ""))
        try:
            yield self
        except BaseException:
            self._write("\n" if self._is_terminal and not streams else "")
            raise
        took = self.times[name] = time.monotonic() - started
        if streams:
            return
        if self._is_terminal:
            self._write(f"\r\x1b[K{title:<26} {took:6.1f} s  {self._detail}\n")
        else:
            self._write(f"      {took:.1f} s  {self._detail}\n")

    def note(self, text: str) -> None:
        """Set what stands behind the step when it is done."""
        self._detail = text

    def run(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> str:
        """Run a command of the present step; return its output.

        Raises:
            StepError: it failed; with the end of its output and where the rest is.
        """
        log = self._logs / f"{name}.log"
        log.write_text("", "utf-8")  # fails here, not in the thread, where we may not write
        lines: deque[str] = deque(maxlen=2000)
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env=env,
                cwd=cwd,
            )
        except OSError as error:
            raise StepError(f"{command[0]} cannot be started: {error.strerror}") from error
        reader = threading.Thread(target=_copy, args=(process, log, lines), daemon=True)
        reader.start()
        try:
            self._watch(process, lines, len(self.times) + 1)
        except BaseException:
            _end(process)
            raise
        reader.join(STOP_S)
        if process.returncode != 0:
            end = "\n".join(f"    {line}" for line in list(lines)[-SHOWN_LINES:])
            raise StepError(f"{name} failed:\n{end}\n  all of it: {log}")
        return "\n".join(lines)

    def _watch(self, process: subprocess.Popen[str], lines: deque[str], number: int) -> None:
        """Wait for a command's end; meanwhile show how long it has run and what it printed last."""
        started = said = time.monotonic()
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(REPAINT_S)
            now, last = time.monotonic(), lines[-1] if lines else ""
            if self._is_terminal:
                text = f"[{number}/{self._total}] {now - started:4.0f} s  {last}"
                width = shutil.get_terminal_size().columns - 1
                self._write(f"\r\x1b[K{text[:width]}")
            elif now - said > SIGN_OF_LIFE_S:
                said = now
                self._write(f"      ... {now - started:.0f} s: {last}\n")

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def _copy(process: subprocess.Popen[str], log: Path, lines: deque[str]) -> None:
    """Keep what a command prints: all of it in the log, the end of it in memory."""
    assert process.stdout is not None
    with process.stdout as lines_of_it, log.open("w", encoding="utf-8") as file:
        for line in lines_of_it:
            file.write(line)
            file.flush()
            if text := _CONTROL.sub("", line).rstrip():
                lines.append(text)


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a command that nobody waits for any more; it may clean up first."""
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
