"""``flwr run``: bundle an app, submit it, and follow it if wanted."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.environment import Environment, environment_of
from flwr.cli.live import follow_run
from flwr.cli.options import DEFAULT_TARGET, FormatOpt, takes_target
from flwr.cli.present import SHOWN_HASH, status_text
from flwr.cli.report import Output, Report, reporting
from flwr.cli.session import find_connection, open_session
from flwr.control.api import Control
from flwr.control.connection import Connection, Target
from flwr.control.simulation_options import parse_federation_config
from flwr.control.submit import Submission, new_submit_key, submit
from flwr.core.errors import (
    FailedPreconditionError,
    InvalidError,
    UnimplementedError,
)
from flwr.core.ids import RunId
from flwr.core.run import Run, RunStatus
from flwr.core.run_config import Config, fuse, parse_pairs, parse_toml
from flwr.core.simulation import SimulationConfig

if TYPE_CHECKING:
    from flwr.fab.build import BuiltFab

AppArg = Annotated[str, typer.Argument(metavar="APP", help="Folder of the app.")]
FederationOpt = Annotated[str, typer.Option("--federation", help="Federation to run on.")]
RunConfigOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--run-config",
        "-c",
        metavar="'KEY=VALUE ...'",
        help="Override the app's config; repeatable; values are TOML. Or one FILE.toml.",
    ),
]
FederationConfigOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--federation-config",
        metavar="'KEY=VALUE ...'",
        help="Override settings of a simulated federation, as num-supernodes=10; repeatable.",
    ),
]
StreamOpt = Annotated[bool, typer.Option("--stream", help="Show the log until the run ends.")]
WaitOpt = Annotated[bool, typer.Option("--wait", help="Wait silently until the run ends.")]
SubmitKeyOpt = Annotated[
    str | None,
    typer.Option("--submit-key", help="Same key, same run: a repeated submission is recognised."),
]


class RunEndedBadlyError(FailedPreconditionError):
    """A followed run failed or was stopped."""

    def __init__(self, run: Run, facts: Mapping[str, Any]) -> None:
        """Give the cause as the SuperLink recorded it."""
        cause = run.details or "no cause was recorded"
        super().__init__(
            f"run {run.run_id} {run.status}: {cause}",
            hint=f"read its log: flwr log {run.run_id} --show",
        )
        self.facts = {**facts, "status": status_text(run), "details": run.details}


@takes_target
def run(
    ctx: typer.Context,
    app: AppArg = ".",
    target: Target = DEFAULT_TARGET,
    federation: FederationOpt = "",
    run_config: RunConfigOpt = None,
    federation_config: FederationConfigOpt = None,
    stream: StreamOpt = False,
    wait: WaitOpt = False,
    submit_key: SubmitKeyOpt = None,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Run an app.

    With --stream or --wait the exit code says how the run ended: 0 completed, 6 failed or stopped.
    """
    environment = environment_of(ctx)
    with reporting(output) as report:
        app_dir = _app_dir(app)
        connection = find_connection(environment, report, target, app_dir)
        fab = _build(app_dir, report)
        submission = Submission(
            fab=fab.content,
            overrides=parse_overrides(run_config or []),
            federation=federation or connection.federation,
            simulation=_simulation(connection, federation_config or []),
            submit_key=submit_key or new_submit_key(),
        )
        fuse(fab.manifest.config, submission.overrides)
        with open_session(environment, report, connection) as session:
            run_id = submit(
                session.control, submission, clock=environment.clock, pause=environment.pause
            )
            _report_start(report, run_id, fab, followed=stream or wait)
            if stream or wait:
                _follow(environment, report, session.control, run_id, fab, show=stream)


def parse_overrides(texts: list[str]) -> Config:
    """Read ``--run-config`` values: pairs, or one TOML file.

    Raises:
        ConfigSyntaxError: a text is neither.
        InvalidError: a file is missing, or mixed with pairs.
    """
    files = [text for text in texts if text.strip().endswith(".toml") and "=" not in text]
    if files and len(texts) > 1:
        raise InvalidError("--run-config takes key=value pairs or one .toml file, not both")
    if files:
        path = Path(files[0].strip())
        if not path.is_file():
            raise InvalidError(f"--run-config: there is no file {path}")
        return parse_toml(path.read_text(), source=str(path))
    overrides: Config = {}
    for text in texts:
        overrides |= parse_pairs(text)
    return overrides


def _app_dir(app: str) -> Path:
    if app.startswith("@"):
        raise UnimplementedError(
            f"{app}: apps from a hosted hub are not supported",
            hint="get the app's sources and give their folder: flwr run PATH",
        )
    path = Path(app).expanduser()
    if not path.is_dir():
        raise InvalidError(
            f"there is no folder {app!r}",
            hint="the first argument is the app's folder: flwr run PATH [SUPERLINK]",
        )
    return path.absolute()


def _build(app_dir: Path, report: Report) -> "BuiltFab":
    from flwr.fab.build import build_fab  # noqa: PLC0415 - 38 ms that other commands need not wait

    fab = build_fab(app_dir)
    for warning in fab.manifest.warnings:
        report.note(f"Warning: {warning}")
    return fab


def _simulation(connection: Connection, texts: list[str]) -> SimulationConfig | None:
    """Return what to override; a local federation's size is the CLI's own business."""
    said = parse_federation_config(texts)
    options = None if connection.is_local else connection.options
    if options is None or said is None:
        return said or options
    return options.overridden_by(said)


def _document(run_id: RunId, fab: "BuiltFab") -> dict[str, Any]:
    app = fab.manifest
    return {
        "success": True,
        "run-id": str(run_id),
        "fab-id": app.fab_id,
        "fab-name": app.name,
        "fab-version": app.version,
        "fab-hash": fab.fab_hash[:SHOWN_HASH],
        "fab-filename": fab.file_name,
    }


def _report_start(report: Report, run_id: RunId, fab: "BuiltFab", *, followed: bool) -> None:
    if followed:
        report.line(f"Successfully started run {run_id}")
    else:
        report.result(_document(run_id, fab), text=f"Successfully started run {run_id}")


def _follow(
    environment: Environment,
    report: Report,
    control: Control,
    run_id: RunId,
    fab: "BuiltFab",
    *,
    show: bool,
) -> None:
    ended = follow_run(environment, report, control, run_id, shows_log=show, answered_before=True)
    document = _document(run_id, fab)
    if ended.status is not RunStatus.COMPLETED:
        raise RunEndedBadlyError(ended, document)
    document |= {"status": status_text(ended), "details": ended.details}
    report.result(document, text=f"Run {run_id} completed")
