"""What a shell may offer at a TAB: names of connections, ids of recent runs and nodes.

A TAB must be quick and never fails, starts nothing and prints nothing: what cannot be had within
its time is not offered.
"""

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import typer

from flwr.cli.environment import Environment, environment_of
from flwr.cli.present import app_text, status_text
from flwr.control.api import Control
from flwr.control.connection import Target, known_names, read_config, read_project, resolve
from flwr.core.errors import FlwrError

_LIMIT_S: Final = 1.5  # what a person waits for at a TAB
_RUNS: Final = 20  # newest ones

Offer = tuple[str, str]  # the word and what it means


def offer_connections(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the names of connections, each with its place."""
    environment = environment_of(ctx)
    with suppress(FlwrError, OSError):
        files = [*read_project(Path.cwd()), read_config(environment.config_file)]
        return _starting(incomplete, known_names(files).items())
    return []


def offer_runs(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the newest runs of the SuperLink that the words so far mean."""

    def ask(control: Control) -> list[Offer]:
        runs, _ = control.list_runs(None, _RUNS)
        return [(str(run.run_id), f"{status_text(run)} {app_text(run)}") for run in runs]

    return _starting(incomplete, _ask(ctx, ask))


def offer_nodes(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the nodes of the SuperLink that the words so far mean."""

    def ask(control: Control) -> list[Offer]:
        nodes, _ = control.list_nodes()
        return [(str(node.node_id), str(node.status)) for node in nodes]

    return _starting(incomplete, _ask(ctx, ask))


def offer_federations(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the federations of the SuperLink that the words so far mean."""

    def ask(control: Control) -> list[Offer]:
        return [(each.name, each.description) for each in control.list_federations()]

    return _starting(incomplete, _ask(ctx, ask))


def _starting(incomplete: str, offers: Iterable[Offer]) -> list[Offer]:
    return [offer for offer in offers if offer[0].startswith(incomplete)]


def _ask(ctx: typer.Context, question: Callable[[Control], list[Offer]]) -> list[Offer]:
    """Return a SuperLink's answer; nothing if it takes longer than a TAB may."""
    environment, said = environment_of(ctx), ctx.params
    target = Target(
        name=said.get("superlink"),
        address=said.get("address"),
        root_certificates=said.get("root_certificates"),
        insecure=bool(said.get("insecure")),
    )
    found: list[Offer] = []

    def ask() -> None:
        with suppress(FlwrError, OSError):
            found.extend(_answer(environment, target, question))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_LIMIT_S)
    return list(found)


def _answer(
    environment: Environment, target: Target, question: Callable[[Control], list[Offer]]
) -> list[Offer]:
    connection = resolve(target, config_file=environment.config_file, app_dir=Path.cwd())
    if connection.is_local:  # asked where it would be, not started
        address = f"127.0.0.1:{environment.local_control_port}"
        connection = replace(connection, address=address)
    with environment.connect(connection) as control:
        return question(control)
