"""``flwr federation simulation-config``: what a simulated federation is made of from now on."""

from enum import StrEnum
from typing import Annotated

import typer

from flwr.cli.completion import offer_federations
from flwr.cli.environment import environment_of
from flwr.cli.options import DEFAULT_TARGET, FormatOpt, takes_target
from flwr.cli.present import simulation_document
from flwr.cli.report import Output, reporting
from flwr.cli.session import find_connection, open_session
from flwr.control.connection import Target
from flwr.core.errors import InvalidError
from flwr.core.federation import DEFAULT_FEDERATION
from flwr.core.simulation import SimulationConfig


class Backend(StrEnum):
    """Names of what runs ClientApps; here they all mean our own pool of processes."""

    RAY = "ray"


class Switch(StrEnum):
    """Yes or no, said in full: leaving the option out says neither."""

    TRUE = "true"
    FALSE = "false"


OptionalFederationArg = Annotated[
    str,
    typer.Argument(
        metavar="FEDERATION",
        help="Name of the federation; left out: that of the connection, or the default one.",
        autocompletion=offer_federations,
    ),
]
SupernodesOpt = Annotated[
    int | None, typer.Option("--num-supernodes", min=1, help="Number of virtual nodes.")
]
CpusOpt = Annotated[
    int | None,
    typer.Option("--client-resources-num-cpus", min=1, help="CPUs of each ClientApp."),
]
GpusOpt = Annotated[
    float | None,
    typer.Option(
        "--client-resources-num-gpus", min=0.0, help="GPUs, or a part, of each ClientApp."
    ),
]
VerboseOpt = Annotated[bool, typer.Option("--verbose", help="Log more of the simulation.")]
BackendOpt = Annotated[
    Backend | None, typer.Option("--backend-name", help="Accepted as upstream's; our own.")
]
AllCpusOpt = Annotated[
    int | None, typer.Option("--init-args-num-cpus", min=1, help="CPUs of all ClientApps together.")
]
AllGpusOpt = Annotated[
    int | None, typer.Option("--init-args-num-gpus", min=0, help="GPUs of all ClientApps together.")
]
LevelOpt = Annotated[
    str | None, typer.Option("--init-args-logging-level", help="Smallest level of log lines.")
]
ToDriverOpt = Annotated[
    Switch | None,
    typer.Option("--init-args-log-to-driver", help="Whether what ClientApps print is shown."),
]


@takes_target
def simulation_config(
    ctx: typer.Context,
    name: OptionalFederationArg = "",
    target: Target = DEFAULT_TARGET,
    num_supernodes: SupernodesOpt = None,
    client_resources_num_cpus: CpusOpt = None,
    client_resources_num_gpus: GpusOpt = None,
    verbose: VerboseOpt = False,
    backend_name: BackendOpt = None,
    init_args_num_cpus: AllCpusOpt = None,
    init_args_num_gpus: AllGpusOpt = None,
    init_args_logging_level: LevelOpt = None,
    init_args_log_to_driver: ToDriverOpt = None,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Change the settings of a simulated federation.

    Those not named stay what they are; a run can override them: flwr run --federation-config.
    """
    environment = environment_of(ctx)
    said = SimulationConfig(
        num_supernodes=num_supernodes,
        client_resources_num_cpus=client_resources_num_cpus,
        client_resources_num_gpus=client_resources_num_gpus,
        verbose=verbose or None,
        backend=backend_name,
        init_args_num_cpus=init_args_num_cpus,
        init_args_num_gpus=init_args_num_gpus,
        init_args_logging_level=init_args_logging_level,
        init_args_log_to_driver=None
        if init_args_log_to_driver is None
        else init_args_log_to_driver is Switch.TRUE,
    )
    with reporting(output) as report:
        changed = simulation_document(said)
        if not changed:
            raise InvalidError(
                "nothing to change is named",
                hint="give at least one option, such as --num-supernodes 20",
            )
        connection = find_connection(environment, report, target)
        federation = name or connection.federation or DEFAULT_FEDERATION
        with open_session(environment, report, connection) as session:
            session.control.configure_simulation(federation, said)
        report.result(
            {"success": True, "federation": federation, "simulation-config": changed},
            text=f"Federation {federation} now has "
            + ", ".join(f"{key.replace('_', '-')}={value}" for key, value in changed.items()),
        )
