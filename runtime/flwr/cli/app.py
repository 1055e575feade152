"""``flwr app``: what upstream's command does with its hosted hub; there is none here."""

from typing import Annotated

import typer

from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, reporting
from flwr.core.errors import UnimplementedError

app = typer.Typer(help="Publish and review apps: not here, there is no hub.", no_args_is_help=True)

FolderArg = Annotated[str, typer.Argument(metavar="APP", help="Folder of the app.")]
SpecArg = Annotated[str, typer.Argument(metavar="SPEC", help="@publisher/name[==version].")]


class NoHubError(UnimplementedError):
    """The command needs the hosted hub."""

    def __init__(self, command: str, hint: str) -> None:
        """Name the command and what does the same without a hub."""
        super().__init__(f"flwr app {command}: there is no hub to talk to", hint=hint)


@app.command()
def publish(folder: FolderArg = ".", output: FormatOpt = Output.TEXT) -> None:
    """Not supported: give others the bundle, or the repository."""
    with reporting(output):
        raise NoHubError(
            "publish",
            f"bundle the app (flwr build --app {folder}) and pass the .fab on; or push it to a git "
            "repository and name that: flwr run git+https://HOST/REPOSITORY@TAG",
        )


@app.command()
def review(spec: SpecArg, output: FormatOpt = Output.TEXT) -> None:
    """Not supported: install the bundle and read it."""
    with reporting(output):
        raise NoHubError(
            "review",
            f"get the bundle of {spec} from its publisher; `flwr install FILE.fab` checks and "
            "unpacks it, and prints where, to be read",
        )
