"""Runs cases one after another, sides in turns; what fails is reported, and the rest goes on."""

import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

from tests.bench.cases import Case
from tests.bench.federations import NotMeasuredError
from tests.bench.results import FAILED, LEFT_OUT, Result, pool
from tests.bench.surroundings import NoiseWatch, end_everything_below
from tests.bench.trial import Trial

Say = Callable[[str], None]


class DeadlineError(Exception):
    """A case took longer than it may."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineError in the main thread after so many seconds."""

    def expire(_: int, __: FrameType | None) -> None:
        raise DeadlineError(f"not done within {seconds:.0f} s")

    former = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def run_case(
    case: Case, results: list[Result], *, sides: Sequence[str], repeats: int | None, say: Say
) -> None:
    """Measure a case on its sides, A B A B; add what is found to ``results``.

    Args:
        case: what to measure.
        results: gets one result for each side, at once, so that an interruption loses nothing.
        sides: those that are wanted; of them, those that the case has are measured.
        repeats: of every case; None: each as often as it says itself.
        say: told what goes on.
    """
    found = {side: Result(case.name, case.title, side) for side in case.sides if side in sides}
    results += found.values()
    trials: dict[str, list[Trial]] = {side: [] for side in found}
    for side, cause in case.why_not.items():
        if side in found:
            found[side].give_up(LEFT_OUT, cause)
    for number in range(repeats or case.repeats):
        for side, result in found.items():
            if result.cause:
                continue
            say(f"{case.name} {side}" + (f" (run {number + 1})" if number else ""))
            trial = _attempt(case, side, result)
            if trial is not None:
                trials[side].append(trial)
                result.figures = pool(trials[side])


def _attempt(case: Case, side: str, result: Result) -> Trial | None:
    """Measure once; note in the result what happened."""
    watch = NoiseWatch()
    trial = None
    with tempfile.TemporaryDirectory(prefix="flwr-bench-", ignore_cleanup_errors=True) as folder:
        try:
            with deadline(case.deadline_s):
                trial = case.measure(Path(folder) / f"{case.family}-{case.count}-{side}", side)
        except NotMeasuredError as reason:
            result.give_up(LEFT_OUT, str(reason))
        except Exception as error:  # noqa: BLE001  # whatever it is, the other cases go on
            result.give_up(FAILED, shorten(f"{type(error).__name__}: {error}"))
        finally:
            end_everything_below()
    if trial is not None:
        noise = watch.noise()
        # What runs in containers is no child of ours: it would be taken for somebody else's.
        result.take(trial, replace(noise, others=0.0) if case.needs_engine else noise)
    return trial


def shorten(cause: str, most: int = 600) -> str:
    """Keep the first line of a cause and its end, where programs say what went wrong."""
    first, _, rest = cause.strip().partition("\n")
    return first[:most] if not rest else f"{first[: most // 2]} ... {rest.strip()[-most // 2 :]}"
