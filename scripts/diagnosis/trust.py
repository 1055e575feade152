"""Certificates and keys, by the PKI tool: from .venv, from this Python, or as its container."""

import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from certs.names import SERVER_NAMES
from images.inputs import local_image
from scripts.diagnosis.findings import Answer, Result, ask, finding, fine, skipped
from scripts.diagnosis.model import Model

ROOT: Final = Path(__file__).resolve().parents[2]
PKI: Final = ROOT / "certs" / "pki.py"
_IMAGE: Final = local_image(ROOT, "certs")
_INSIDE: Final = "/certs"
_FINDINGS: Final = 1  # how `check` ends when it found something


def check_trust(certs: Path | None, model: Model | None, names: list[str]) -> Iterator[Result]:
    """Let the PKI tool look at every file, and compare names with those that are dialled.

    Args:
        certs: the folder of `make certs`.
        model: the deployment, if Compose can resolve it.
        names: host names and addresses that sites and researchers dial.
    """
    if certs is None:
        yield skipped("certificates", "no service of this deployment mounts any")
        return
    if not certs.exists():
        yield finding("certificates", f"{certs} does not exist", "make certs")
        return
    facts = _inspect(certs, _image(model))
    if isinstance(facts, Result):
        yield facts
        return
    found = facts["findings"]
    for item in found:
        remedy = item["remedy"].replace("pki.py ", "certs/pki.py ", 1)
        yield finding("certificates", f"{item['path']} {item['cause']}", remedy)
    if not found:
        soonest = min(facts["certificates"], key=lambda c: int(c["days-left"]))
        yield fine("certificates", f"valid and matching; {soonest['days-left']} days left")
    yield from _names(facts, model, names)


def _inspect(certs: Path, image: str) -> dict[str, Any] | Result:
    command = _command(certs, image)
    if command is None:
        why = f"neither Python's cryptography nor the image {image} is here (make setup)"
        return skipped("certificates", why)
    answer = ask(command)
    if command[-1] == _INSIDE:
        answer = Answer(answer.code, _outside(answer.out, certs), _outside(answer.err, certs))
    facts = _facts(answer)
    if facts is not None:
        return facts
    if answer.code is None:
        return skipped("certificates", answer.last_line())
    cause, _, remedy = answer.err.partition("\n  what to do: ")
    text = cause.removeprefix("pki.py: error: ").strip()
    return finding("certificates", text or "cannot be read", remedy.strip() or "make certs")


def _outside(text: str, certs: Path) -> str:
    """Translate what the container calls the folder into its name on the host."""
    return re.sub(rf"(?<![\w./-]){_INSIDE}(?![\w.-])", lambda _: str(certs), text)


def _facts(answer: Answer) -> dict[str, Any] | None:
    if answer.code not in {0, _FINDINGS}:
        return None
    try:
        found: Any = json.loads(answer.out)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _image(model: Model | None) -> str:
    """Return the PKI tool's image, of the registry and version that are deployed."""
    for image in model.images if model else ():
        if "/superlink:" in image or "/supernode:" in image:
            return re.sub(r"/super(link|node):", "/certs:", image)
    return _IMAGE


def _command(certs: Path, image: str) -> list[str] | None:
    """Return how the PKI tool can be run here; rights are looked at by `mounts`."""
    check = ["check", "--format", "json", "--reader", "0", "--out"]
    venv = ROOT / ".venv" / "bin" / "python"
    if venv.exists():
        return [str(venv), str(PKI), *check, str(certs)]
    if importlib.util.find_spec("cryptography") is not None:
        return [sys.executable, str(PKI), *check, str(certs)]
    if shutil.which("docker") and ask(["docker", "image", "inspect", image]).is_good:
        run = ["docker", "run", "--rm", "--network", "none", "--volume", f"{certs}:{_INSIDE}:ro"]
        return [*run, image, *check, _INSIDE]
    return None


def _names(facts: dict[str, Any], model: Model | None, names: list[str]) -> Iterator[Result]:
    """Whether the server's certificate has the names by which it is called."""
    server = [c for c in facts["certificates"] if c["path"].endswith("superlink/server.crt")]
    if not server:
        if names:
            yield skipped("names", "the server's certificate is not on this host")
        return
    has = set(server[0]["names"])
    dialled = dict.fromkeys([*names, *_dialled(model)])
    missing = [name for name in dialled if not _covers(has, name.lower())]
    if missing:
        builtin = set(SERVER_NAMES)
        wanted = ",".join([*sorted(has - builtin), *missing])
        text = f"the server's certificate is not for {', '.join(missing)}"
        yield finding("names", text, f"make certs SAN={wanted}")
    else:
        yield fine("names", f"the server's certificate is for {', '.join(sorted(has))}")


def _dialled(model: Model | None) -> Iterator[str]:
    for name in model.services if model else ():
        address = model.setting(name, "FLWR_SUPERNODE_SUPERLINK") if model else ""
        if model and "superlink" in model.services and address:
            yield address.rpartition(":")[0].strip("[]")


def _covers(has: set[str], name: str) -> bool:
    return name in has or f"*.{name.partition('.')[2]}" in has
