"""``flwr run``: bundle an app, submit it, and follow it if wanted."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.app_source import (
    HERE,
    AppSource,
    ClientAppOpt,
    DependencyOpt,
    GitTokenFileOpt,
    NameOpt,
    OpenedApp,
    ServerAppOpt,
    open_app,
)
from flwr.cli.environment import Environment, environment_of
from flwr.cli.live import follow_run
from flwr.cli.options import DEFAULT_TARGET, FormatOpt, takes_target
from flwr.cli.present import SHOWN_HASH, origin_document, status_text
from flwr.cli.report import Output, Report, reporting
from flwr.cli.run_config import RunConfigOpt, parse_overrides
from flwr.cli.session import find_connection, open_session
from flwr.control.api import Control
from flwr.control.connection import Connection, Target
from flwr.control.simulation_options import parse_federation_config
from flwr.control.submit import Submission, new_submit_key, submit
from flwr.core.errors import FailedPreconditionError, InvalidError
from flwr.core.ids import RunId
from flwr.core.run import Run, RunStatus
from flwr.core.run_config import Config, fuse
from flwr.core.simulation import SimulationConfig

if TYPE_CHECKING:
    from flwr.fab.build import BuiltFab

AppArg = Annotated[
    str,
    typer.Argument(
        metavar="APP",
        help="Folder of the app, or git+https://HOST/OWNER/REPO[@REF][#subdirectory=PATH]; "
        "left out with --server-app.",
    ),
]
FederationOpt = Annotated[str, typer.Option("--federation", help="Federation to run on.")]
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
    app: AppArg = HERE,
    target: Target = DEFAULT_TARGET,
    server_app: ServerAppOpt = "",
    client_app: ClientAppOpt = "",
    name: NameOpt = "",
    dependency: DependencyOpt = None,
    git_token_file: GitTokenFileOpt = None,
    federation: FederationOpt = "",
    run_config: RunConfigOpt = None,
    federation_config: FederationConfigOpt = None,
    stream: StreamOpt = False,
    wait: WaitOpt = False,
    submit_key: SubmitKeyOpt = None,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Run an app: a project's folder, a project in a git repository, or two files.

    With --stream or --wait the exit code says how the run ended: 0 completed, 6 failed or stopped.
    """
    environment = environment_of(ctx)
    with reporting(output) as report:
        source = AppSource(
            app=app,
            server_app=server_app,
            client_app=client_app,
            name=name,
            dependencies=tuple(dependency or ()),
            config=parse_overrides(run_config or []),
            git_token_file=git_token_file,
        )
        target = _target_of(source, target)
        with open_app(source, report) as opened:
            connection = find_connection(
                environment, report, target, opened.project, fetched=opened.fetched
            )
            submission = Submission(
                fab=opened.fab.content,
                overrides=_overrides_of(source, opened),
                federation=federation or connection.federation,
                simulation=_simulation(connection, federation_config or []),
                submit_key=submit_key or new_submit_key(),
            )
            with open_session(environment, report, connection) as session:
                run_id = submit(
                    session.control, submission, clock=environment.clock, pause=environment.pause
                )
                _report_start(report, run_id, opened.fab, followed=stream or wait)
                if stream or wait:
                    _follow(environment, report, session.control, run_id, opened.fab, show=stream)


def _target_of(source: AppSource, target: Target) -> Target:
    """Return the SuperLink; without an APP its name is the first argument."""
    if not source.is_inline or source.app == HERE:
        return target
    if target.name is not None:
        raise InvalidError(
            f"both an app {source.app!r} and the files of an inline app are given",
            hint="leave out one: flwr run --server-app FILE.py:OBJECT --client-app FILE.py:OBJECT "
            "[SUPERLINK]",
        )
    return replace(target, name=source.app)


def _overrides_of(source: AppSource, opened: OpenedApp) -> Config:
    """Return what to override: of an inline app the config is part of the bundle already."""
    if source.is_inline:
        return {}
    fuse(opened.fab.manifest.config, source.config)
    return source.config


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
        **({"origin": origin_document(app.origin)} if app.origin else {}),
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
