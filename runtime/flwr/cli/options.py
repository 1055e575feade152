"""Arguments and options that several commands share, declared once."""

import functools
import inspect
import sys
from collections.abc import Callable
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from flwr.cli.completion import (
    offer_connections,
    offer_federations,
    offer_nodes,
    offer_runs,
)
from flwr.cli.report import Output
from flwr.control.connection import Target

_OLD_FORM: Final = {"default": Output.TEXT}  # upstream's word


def _read_form(text: str) -> Output:
    """Read what stands after --format."""
    try:
        return _OLD_FORM.get(text) or Output(text)
    except ValueError as cause:
        raise typer.BadParameter(f"{text!r} is neither text nor json") from cause


def _offer_forms(incomplete: str) -> list[str]:
    return [form.value for form in Output if form.value.startswith(incomplete)]


def _tell_no_effect(ctx: typer.Context, values: list[str] | None) -> None:
    if values and not ctx.resilient_parsing:
        sys.stderr.write("Warning: --federation-config has no effect here, only at `flwr run`\n")


RunIdArg = Annotated[
    int,
    typer.Argument(metavar="RUN_ID", help="Id of the run.", min=1, autocompletion=offer_runs),
]
NodeIdArg = Annotated[
    int,
    typer.Argument(metavar="NODE_ID", help="Id of the node.", min=1, autocompletion=offer_nodes),
]
FederationArg = Annotated[
    str,
    typer.Argument(
        metavar="FEDERATION", help="Name of the federation.", autocompletion=offer_federations
    ),
]
_ConnectionArg = Annotated[
    str | None,
    typer.Argument(
        metavar="SUPERLINK",
        help="Name of a connection (see `flwr config list`); left out: the default one.",
        autocompletion=offer_connections,
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
    typer.Option(
        "--insecure",
        help="No TLS (with --superlink); for tests on one machine.",
    ),
]
_OldFederationConfigOpt = Annotated[
    list[str] | None,
    typer.Option("--federation-config", hidden=True, callback=_tell_no_effect),
]
FormatOpt = Annotated[
    Output,
    typer.Option(
        "--format",
        parser=_read_form,
        metavar="[text|json]",
        help="Form of the result; json prints exactly one document.",
        autocompletion=_offer_forms,
    ),
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

    The command line reads the same for every command, and none has to put the four together.  The
    name of a connection stands where ``target`` stood, the flags come last.
    """
    name, *flags = _target_parameters()
    own = inspect.signature(command).parameters.values()
    parameters = [*(name if each.name == "target" else each for each in own), *flags]

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


def allows_federation_config(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command be given ``--federation-config`` as of old: hidden, and told to do nothing."""
    parameters = list(inspect.signature(command).parameters.values())
    old = Parameter(
        "federation_config",
        Parameter.POSITIONAL_OR_KEYWORD,
        default=None,
        annotation=_OldFederationConfigOpt,
    )

    @functools.wraps(command)
    def said(*, federation_config: list[str] | None, **others: Any) -> None:
        del federation_config  # its callback told so
        command(**others)

    said.__annotations__ = {p.name: p.annotation for p in [*parameters, old]}
    vars(said)["__signature__"] = inspect.Signature([*parameters, old])
    return said


def _target_parameters() -> list[Parameter]:
    return [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation)
        for name, annotation, default in _TARGET
    ]
