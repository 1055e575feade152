"""The report on a terminal: rounds, idle federations, goals, the machine."""

from collections.abc import Callable, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench import figures
from tests.bench.goals import GOALS, MET, MISSED, Goal
from tests.bench.results import Report, Result

_COLOURS: Final = {MET: "green", MISSED: "red"}

Column = tuple[str, Callable[[Result], str]]


def _of(name: str, write: figures.Write) -> Callable[[Result], str]:
    return lambda result: write(result.figures.get(name))


def _rounds(result: Result) -> str:
    return str(len(result.rounds_s))


_ROUND_COLUMNS: Final[Sequence[Column]] = (
    ("rounds", _rounds),
    ("median", _of("round_s", figures.seconds)),
    ("p95", _of("round_p95_s", figures.seconds)),
    ("CPU", _of("cpu_s", figures.seconds)),
    ("wire", _of("wire_mb", figures.megabytes)),
    ("disk", _of("disk_mb", figures.megabytes)),
    ("site", _of("site_mb", figures.megabytes)),
    ("SuperLink", _of("superlink_mb", figures.megabytes)),
    ("all", _of("total_mb", figures.megabytes)),
    ("submit", _of("submit_s", figures.seconds)),
    ("exit", _of("exit_s", figures.seconds)),
)
_SIMULATION_COLUMNS: Final[Sequence[Column]] = (
    ("rounds", _rounds),
    ("median", _of("round_s", figures.seconds)),
    ("clients/s", _of("clients_per_s", figures.number)),
    ("CPU", _of("cpu_s", figures.seconds)),
    ("all", _of("total_mb", figures.megabytes)),
)
_IDLE_COLUMNS: Final[Sequence[Column]] = (
    ("cores", _of("cores", figures.number)),
    ("SuperLink", _of("superlink_cores", figures.number)),
    ("wire/s", _of("wire_mb_per_s", figures.megabytes)),
    ("SuperLink", _of("superlink_mb", figures.megabytes)),
    ("site", _of("site_mb", figures.megabytes)),
    ("all", _of("total_mb", figures.megabytes)),
    ("online after", lambda r: figures.seconds(r.figures.get("join_s", r.figures.get("online_s")))),
)
_ROLES: Final = ("superlink", "serverapp", "executor", "supernode", "clientapp")
_LIMITS: Final = {
    "process_start_s": "start of a bare interpreter",
    "import_numpy_s": "start that imports numpy",
    "import_grpc_s": "start that imports gRPC",
    "fork_s": "fork of a warm interpreter",
    "grpc_echo_s": "gRPC unary echo, two processes",
    "durable_write_s": "4 kB written durably",
    "loopback_mb_per_s": "loopback, one TCP stream",
    "memcpy_mb_per_s": "memcpy",
    "sha256_mb_per_s": "SHA-256",
}


def show(report: Report, console: Console) -> None:
    """Print everything that was found."""
    simulated = [r for r in report.results if r.case.startswith("simulation")]
    idle = [r for r in report.results if r.case.startswith("idle")]
    runs = [r for r in report.results if r not in simulated and r not in idle]
    for title, results, columns in (
        ("Rounds", runs, _ROUND_COLUMNS),
        ("Simulation", simulated, _SIMULATION_COLUMNS),
        ("Idle", idle, _IDLE_COLUMNS),
    ):
        if results:
            console.print(_table(title, results, columns, report))
    if any(result.memory_mb for result in report.results):
        console.print(_memory(report))
    for result in report.results:
        if result.cause:
            console.print(
                f"{result.status.upper()} {result.case} {result.side}: {result.cause}",
                markup=False,
            )
    if asked := _asked(report):
        console.print(_goals(report))
    if len(asked) < len(GOALS):
        console.print(f"{len(GOALS) - len(asked)} more goals belong to cases that were not chosen.")
    if report.limits:
        console.print(_limits(report))
    _warn(report, console)


def _table(
    title: str, results: Sequence[Result], columns: Sequence[Column], report: Report
) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("case", no_wrap=True)
    table.add_column("side")
    for name, _ in columns:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", style="bold")
    last = ""
    for result in results:
        cells = [write(result) for _, write in columns]
        name = result.title + (" (!)" if result.is_loud else "")
        table.add_row(
            name if result.case != last else "", result.side, *cells, _ratio(result, report)
        )
        last = result.case
    return table


def _memory(report: Report) -> Table:
    """Return the peaks of all processes that play a part, together."""
    table = Table(title="Memory by role (PSS)", title_justify="left", box=None, pad_edge=False)
    table.add_column("case", no_wrap=True)
    table.add_column("side")
    for role in _ROLES:
        table.add_column(role, justify="right", no_wrap=True)
    last = ""
    for result in report.results:
        if result.memory_mb:
            cells = [figures.megabytes(result.memory_mb.get(role)) for role in _ROLES]
            table.add_row(result.title if result.case != last else "", result.side, *cells)
            last = result.case
    return table


def _ratio(result: Result, report: Report) -> str:
    """Return how much faster a side is than upstream, or how much less it needs when idle."""
    if result.side == "upstream":
        return ""
    figure = "round_s" if result.rounds_s else "cores"
    # Upstream's nodes on our SuperLink are compared with the same nodes on their own.
    case = result.case.replace("mixed-", "rounds-")
    slow = report.figure(case, "upstream", figure)
    return "" if slow is None else figures.ratio(slow, result.figures.get(figure))


def _goals(report: Report) -> Table:
    table = Table(title="Goals", title_justify="left", box=None, pad_edge=False)
    for name in ("goal", "limit", "figure", "verdict"):
        table.add_column(name, justify="left" if name == "goal" else "right")
    for goal in _asked(report):
        row = goal.row(report)
        verdict = str(row["verdict"])
        table.add_row(
            goal.what,
            str(row["limit"]),
            str(row["figure"]),
            verdict,
            style=_COLOURS.get(verdict, "dim"),
        )
    return table


def _asked(report: Report) -> list[Goal]:
    """Return the goals of cases that were chosen."""
    chosen = set(report.cases())
    return [goal for goal in GOALS if goal.case in chosen]


def _limits(report: Report) -> Table:
    table = Table(title="This machine's limits", title_justify="left", box=None, pad_edge=False)
    table.add_column("what")
    table.add_column("limit", justify="right")
    for name, what in _LIMITS.items():
        if (value := report.limits.get(name)) is not None:
            is_speed = name.endswith("mb_per_s")
            written = f"{figures.number(value)} MB/s" if is_speed else figures.seconds(value)
            table.add_row(what, written)
    return table


def _warn(report: Report, console: Console) -> None:
    if report.noise is not None:
        console.print(f"During all this: {report.noise}.  CPU time by {report.accounting}.")
    if any(result.is_loud for result in report.results):
        console.print(
            "WARNING: rows marked (!) were measured on a machine that others used, too "
            "(steal over 5 %, or other processes over 10 %): do not trust their figures.",
            style="bold yellow",
        )
    if not report.private_network:
        console.print(
            "Bytes on the wire include whatever else used loopback: "
            "only root gets a network of its own for the measurement."
        )
