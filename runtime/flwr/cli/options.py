"""Arguments and options that several commands share, declared once."""

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from flwr.cli.report import Output
from flwr.control.connection import Target

RunIdArg = Annotated[int, typer.Argument(metavar="RUN_ID", help="Id of the run.", min=1)]
NodeIdArg = Annotated[int, typer.Argument(metavar="NODE_ID", help="Id of the node.", min=1)]
_ConnectionArg = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUPERLINK]",
        help="Name of a connection (see `flwr config list`); left out: the default one.",
    ),
]
_AddressOpt = Annotated[
    str | None,
    typer.Option(
        "--superlink",
        metavar="HOST:PORT",
        help="Address of the SuperLink's Control API, in place of a named connection.",
    ),
]
_RootCertificatesOpt = Annotated[
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
_InsecureOpt = Annotated[
    bool,
    typer.Option("--insecure", help="No TLS (with --superlink); for tests on one machine."),
]
FormatOpt = Annotated[
    Output,
    typer.Option("--format", help="Form of the result; json prints exactly one document."),
]

DEFAULT_TARGET: Final = Target()
_TARGET: Final[tuple[tuple[str, Any, object], ...]] = (
    ("superlink", _ConnectionArg, None),
    ("address", _AddressOpt, None),
    ("root_certificates", _RootCertificatesOpt, None),
    ("insecure", _InsecureOpt, False),
)


def takes_target(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command say which SuperLink it means: its parameter ``target`` becomes four of these.

    The command line reads the same for every command, and none has to put the four together.
    """
    parameters: list[Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        parameters += _target_parameters() if parameter.name == "target" else [parameter]

    @functools.wraps(command)
    def said(
        *,
        superlink: str | None,
        address: str | None,
        root_certificates: Path | None,
        insecure: bool,
        **others: Any,
    ) -> None:
        target = Target(
            name=superlink,
            address=address,
            root_certificates=root_certificates,
            insecure=insecure,
        )
        command(target=target, **others)

    said.__annotations__ = {p.name: p.annotation for p in parameters}
    vars(said)["__signature__"] = inspect.Signature(parameters)
    return said


def _target_parameters() -> list[Parameter]:
    return [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
        for name, annotation, default in _TARGET
    ]
