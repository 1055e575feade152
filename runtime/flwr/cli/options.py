"""Arguments and options that several commands share, declared once."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.report import Output

RunIdArg = Annotated[int, typer.Argument(metavar="RUN_ID", help="Id of the run.", min=1)]
NodeIdArg = Annotated[int, typer.Argument(metavar="NODE_ID", help="Id of the node.", min=1)]
ConnectionArg = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUPERLINK]",
        help="Name of a connection (see `flwr config list`); left out: the default one.",
    ),
]
AddressOpt = Annotated[
    str | None,
    typer.Option(
        "--superlink",
        metavar="HOST:PORT",
        help="Address of the SuperLink's Control API, in place of a named connection.",
    ),
]
RootCertificatesOpt = Annotated[
    Path | None,
    typer.Option(
        "--root-certificates",
        metavar="FILE",
        help="CA certificate that signed the SuperLink's (with --superlink).",
        exists=True,
        dir_okay=False,
        readable=True,
    ),
]
InsecureOpt = Annotated[
    bool,
    typer.Option("--insecure", help="No TLS (with --superlink); for tests on one machine."),
]
FormatOpt = Annotated[
    Output,
    typer.Option("--format", help="Form of the result; json prints exactly one document."),
]
