"""What runs or would run: images, ports, health of containers."""

import errno
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from scripts.diagnosis.findings import Result, ask, finding, fine, skipped
from scripts.diagnosis.model import Model, Port
from scripts.federation import PROJECT

_SERVICE: Final = "com.docker.compose.service"
_SETTING: Final = {9092: "FLWR_FLEET", 9093: "FLWR_CONTROL"}
_ODD_STATES: Final = frozenset({"restarting", "exited", "dead", "paused", "created"})


def check_images(model: Model | None) -> Iterator[Result]:
    """Whether every image is here already."""
    if model is None:
        yield skipped("images", "Compose cannot resolve the deployment")
        return
    missing = [i for i in model.images if not ask(["docker", "image", "inspect", i]).is_good]
    ours = [image for image in missing if image.startswith("flwr-compose/")]
    if ours:
        yield finding("images", f"not here: {', '.join(ours)}", "make images")
    if others := sorted(set(missing) - set(ours)):
        yield finding("images", f"not here: {', '.join(others)}", "docker compose pull")
    if not missing:
        yield fine("images", f"{len(model.images)} here")


def check_ports(model: Model | None) -> Iterator[Result]:
    """Whether the ports to publish are free, or held by this very deployment."""
    if model is None:
        yield skipped("ports", "Compose cannot resolve the deployment")
        return
    found = [result for port in model.ports if (result := _port(model, port)) is not None]
    shown = ", ".join(f"{port.host}:{port.number}" for port in model.ports)
    yield from found or [fine("ports", f"{shown or 'none published'}: free or ours")]


def check_containers(model: Model | None, folder: Path) -> Iterator[Result]:
    """Containers of this deployment: which are not well, and what they said last."""
    if model is None:
        yield skipped("containers", "Compose cannot resolve the deployment")
        return
    listed = ask(["docker", "ps", "-aq", "--filter", f"label={PROJECT}={model.name}"])
    if not listed.is_good:
        yield skipped("containers", listed.last_line())
        return
    ids = listed.out.split()
    if not ids:
        yield fine("containers", f"none of {model.name} yet: make up")
        return
    inspected: list[dict[str, Any]] = json.loads(ask(["docker", "inspect", *ids]).out or "[]")
    found = [result for one in inspected if (result := _container(one, folder)) is not None]
    yield from found or [fine("containers", f"{len(ids)} of {model.name}, all well")]


def _port(model: Model, port: Port) -> Result | None:
    family = socket.AF_INET6 if ":" in port.host else socket.AF_INET
    variable = _SETTING.get(port.target, f"the port of {port.service}")
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((port.host, port.number))
    except OSError as error:
        where = f"{port.host}:{port.number} ({port.service})"
        if error.errno == errno.EADDRNOTAVAIL:
            remedy = f"set {variable}_BIND to an address of this host in compose/.env"
            return finding("ports", f"{where}: this host has no such address", remedy)
        if error.errno == errno.EADDRINUSE and not _is_ours(model, port):
            other = f"{port.number + 100}" if port.number < 65_000 else "a free port"  # noqa: PLR2004 - the last port is 65535
            holder = _holder(port.number)
            remedy = f"stop it, or set {variable}_PORT={other} in compose/.env"
            return finding("ports", f"{where} is taken by {holder}", remedy)
    return None


def _publishers(number: int) -> list[dict[str, Any]]:
    answer = ask(["docker", "ps", "--filter", f"publish={number}", "--format", "{{json .}}"])
    return list(answer.documents()) if answer.is_good else []


def _is_ours(model: Model, port: Port) -> bool:
    label = f"{PROJECT}={model.name}"
    return any(label in one.get("Labels", "").split(",") for one in _publishers(port.number))


def _holder(number: int) -> str:
    containers = [str(one.get("Names")) for one in _publishers(number)]
    if containers:
        return f"container {', '.join(containers)}"
    return f"another program (sudo ss -ltnp 'sport = :{number}' names it)"


def _container(one: dict[str, Any], folder: Path) -> Result | None:
    labels = one["Config"].get("Labels") or {}
    if labels.get("com.docker.compose.oneoff") == "True":
        return None
    service = labels.get(_SERVICE, one["Name"].lstrip("/"))
    said = _illness(one)
    if said is None:
        return None
    tail = ask(["docker", "logs", "--tail", "1", one["Id"]])
    last = (tail.out + tail.err).strip().splitlines()[-1:] if tail.is_good else []
    text = f"{service} {said}" + (f"; last words: {last[0][:300]}" if last else "")
    if one["State"]["Status"] == "paused":
        return finding("containers", text, f"docker unpause {one['Name'].lstrip('/')}")
    where = f"docker compose --project-directory {folder} logs --tail 50 {service}"
    return finding("containers", text, where)


def _illness(one: dict[str, Any]) -> str | None:
    state, status = one["State"], one["State"]["Status"]
    health = (state.get("Health") or {}).get("Status")
    if status == "exited":
        return f"is exited with code {state['ExitCode']}" + (
            " (memory)" if state.get("OOMKilled") else ""
        )
    if status in _ODD_STATES:
        return f"is {status}"
    if health == "unhealthy":
        return "is unhealthy"
    restarts = int(one.get("RestartCount") or 0)
    if restarts and health != "healthy":
        return f"was restarted {restarts} times and is not healthy yet"
    return None
