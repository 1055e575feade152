"""The apps that federations of the tests run, and what they print."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import ROOT

TINY: Final = ROOT / "tests" / "apps" / "tiny"
DIGITS: Final = ROOT / "examples" / "digits"
INLINE: Final = (
    *("--server-app", f"{ROOT / 'tests' / 'apps' / 'inline' / 'hub.py'}:app"),
    *("--client-app", f"{ROOT / 'tests' / 'apps' / 'inline' / 'node.py'}:app"),
)
"""An app of two files, as arguments of ``flwr run``; its config has ``question`` and ``factor``."""


def digest_in(log: str) -> str:
    """Return the digest of the final model that the tiny app printed."""
    found = re.search(r"model digest: ([0-9a-f]{64})", log)
    assert found, f"no model digest in the log:\n{log[-3000:]}"
    return found.group(1)


def config(**values: object) -> tuple[str, str]:
    """Return ``--run-config`` and its argument; underscores become dashes."""
    pairs = (f"{k.replace('_', '-')}={_literal(v)}" for k, v in values.items())
    return "--run-config", " ".join(pairs)


def quick(**values: object) -> tuple[str, str]:
    """Return the configuration of the shortest run that trains: one round, nothing evaluated."""
    return config(**{"num_rounds": 1, "evaluate": False, **values})


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def copy_with_connection(app: Path, federation: Federation) -> Path:
    """Copy ``app`` and name the federation in its pyproject, as before release 1.26."""
    target = federation.root / f"{app.name}-app"
    if not target.exists():
        shutil.copytree(app, target, ignore=shutil.ignore_patterns("__pycache__"))
        lines: Mapping[str, str] = {
            "address": f'"{federation.control}"',
            **(
                {"root-certificates": f'"{federation.ca}"'}
                if federation.tls
                else {"insecure": "true"}
            ),
        }
        table = "".join(f"{k} = {v}\n" for k, v in lines.items())
        with (target / "pyproject.toml").open("a") as project:
            project.write(
                f'\n[tool.flwr.federations]\ndefault = "{CONNECTION}"\n\n'
                f"[tool.flwr.federations.{CONNECTION}]\n{table}",
            )
    return target
