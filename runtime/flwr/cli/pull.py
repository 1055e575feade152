"""``flwr pull``: where the artifacts of a finished run are."""

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt, RunIdArg, allows_federation_config, takes_target
from flwr.cli.report import Output, reporting
from flwr.cli.session import control_session
from flwr.control.connection import Target
from flwr.core.errors import NotFoundError, UnimplementedError
from flwr.core.ids import RunId


class NoProviderError(UnimplementedError):
    """The SuperLink keeps no artifacts."""

    def __init__(self) -> None:
        """Say what else there is."""
        super().__init__(
            "the SuperLink does not support pulling artifacts: it has no artifact provider",
            hint="let the ServerApp print its results (flwr log RUN_ID --show), or write them "
            "where its machine keeps them",
        )


class NoArtifactsError(NotFoundError):
    """The run left nothing."""

    def __init__(self, run_id: RunId) -> None:
        """Name the run."""
        super().__init__(f"run {run_id} left no artifacts")


@allows_federation_config
@takes_target
def pull(
    ctx: typer.Context,
    run_id: RunIdArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Show where the artifacts of a finished run can be downloaded."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        with control_session(environment, report, target) as control:
            try:
                url = control.pull_artifacts(RunId(run_id))
            except UnimplementedError as cause:
                raise NoProviderError from cause
        if not url:
            raise NoArtifactsError(RunId(run_id))
        report.result({"success": True, "run-id": str(run_id), "url": url}, text=url)
