#!/usr/bin/env python3
"""Look at this host and at the deployment on it, and name for each finding what mends it.

Changes nothing and needs nothing but Python.  What cannot be looked at is skipped, with the reason.
Exit codes: 0 all is well, 2 wrong usage, 6 something was found.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts.diagnosis import deployment, host, mounts, settings, trust
from scripts.diagnosis.findings import Result, State, finding, skipped
from scripts.diagnosis.model import Model, ModelError, load_model

ROOT: Final = Path(__file__).resolve().parents[1]
FOUND: Final = 6  # wrong state, as in every program here
_MARKS: Final = {State.FINE: "ok", State.FINDING: "FINDING", State.SKIPPED: "skipped"}


def diagnose(args: argparse.Namespace) -> list[Result]:
    """Look at everything, from the ground up."""
    results: list[Result] = []

    def look(name: str, check: Callable[[], Iterable[Result]]) -> None:
        try:
            results.extend(check())
        except Exception as error:  # noqa: BLE001 - a look that fails must not hide the others
            results.append(skipped(name, f"could not look: {type(error).__name__}: {error}"))

    info: dict[str, Any] = {}
    look("engine", lambda: info.update(host.engine_info()) or [])
    look("engine", lambda: host.check_toolchain(info))
    look("limits", lambda: host.check_limits(info))
    look("memory", host.check_memory)
    look("disk", lambda: host.check_disk(Path(info.get("DockerRootDir") or ROOT)))
    look("clock", host.check_clock)
    look("settings", lambda: settings.check_settings(args.compose, args.env_file))
    model = _model(args, results)
    look("processors", lambda: host.check_processors(info, model))
    look("nodes", lambda: settings.check_nodes(model))
    look("certificates", lambda: trust.check_trust(_certs(args, model), model, args.name))
    look("mounts", lambda: mounts.check_mounts(model))
    if info:
        look("images", lambda: deployment.check_images(model))
        look("ports", lambda: deployment.check_ports(model))
        look("containers", lambda: deployment.check_containers(model, args.compose))
    else:
        results += [
            skipped(name, "no engine answers") for name in ("images", "ports", "containers")
        ]
    return results


def _model(args: argparse.Namespace, results: list[Result]) -> Model | None:
    try:
        return load_model(args.compose, args.env_file)
    except ModelError as error:
        is_absent = any(r.name == "compose" and r.state is not State.FINE for r in results)
        results.append(
            skipped("deployment", "Compose is not to be had")
            if is_absent
            else finding("deployment", str(error), "correct compose/.env; .env.example explains it")
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        results.append(skipped("deployment", f"could not look: {error}"))
    return None


def _certs(args: argparse.Namespace, model: Model | None) -> Path | None:
    given: Path | None = args.certs
    return given or (model.certs if model else ROOT / ".state" / "certs")


def show(results: Sequence[Result]) -> str:
    """Return the results for people, findings with their remedy."""
    lines = []
    for result in results:
        lines.append(f"{_MARKS[result.state]:>8}  {result.name:<13} {result.text}")
        if result.remedy:
            lines.append(f"{'':>8}  {'':<13} what to do: {result.remedy}")
    found = sum(result.state is State.FINDING for result in results)
    lines.append(f"\n{found} finding{'s' if found != 1 else ''}" if found else "\nAll is well.")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="Exit codes: 0 all is well, 2 wrong usage, 6 something was found.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--compose", type=Path, default=ROOT / "compose", metavar="DIR", help="folder with .env"
    )
    parser.add_argument("--env-file", type=Path, metavar="FILE", help="another file than DIR/.env")
    parser.add_argument(
        "--certs",
        type=Path,
        metavar="DIR",
        help="folder of keys (default: what is mounted)",
    )
    parser.add_argument(
        "--name",
        action="append",
        default=[],
        help="name or address by which sites and researchers dial this server (repeatable)",
    )
    parser.add_argument("--format", choices=("text", "json"), default="text")
    args = parser.parse_args(argv)
    if not args.compose.is_dir() or (args.env_file and not args.env_file.is_file()):
        parser.error(f"{args.env_file or args.compose} does not exist")
    args.compose = args.compose.resolve()
    args.env_file = args.env_file.resolve() if args.env_file else None
    results = diagnose(args)
    found = any(result.state is State.FINDING for result in results)
    if args.format == "json":
        facts = {"fine": not found, "results": [asdict(result) for result in results]}
        print(json.dumps(facts, indent=2))
    else:
        print(show(results), end="")
    return FOUND if found else 0


if __name__ == "__main__":
    sys.exit(main())
