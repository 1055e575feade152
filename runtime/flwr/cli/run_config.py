"""The option ``--run-config``, and how its texts are read."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.core.errors import InvalidError
from flwr.core.run_config import Config, parse_pairs, parse_toml

RunConfigOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--run-config",
        "-c",
        metavar="'KEY=VALUE ...'",
        help="Override the app's config; repeatable; values are TOML. Or one FILE.toml. "
        "With --server-app: the config itself.",
    ),
]


def parse_overrides(texts: list[str]) -> Config:
    """Read ``--run-config`` values: pairs, or one TOML file.

    Raises:
        ConfigSyntaxError: a text is neither.
        InvalidError: a file is missing, or mixed with pairs.
    """
    files = [text for text in texts if text.strip().endswith(".toml") and "=" not in text]
    if files and len(texts) > 1:
        raise InvalidError("--run-config takes key=value pairs or one .toml file, not both")
    if files:
        path = Path(files[0].strip())
        if not path.is_file():
            raise InvalidError(f"--run-config: there is no file {path}")
        return parse_toml(path.read_text(), source=str(path))
    overrides: Config = {}
    for text in texts:
        overrides |= parse_pairs(text)
    return overrides
