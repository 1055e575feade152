"""One way to configure every program: flag, else environment, else file, else default.

A program lists its settings once; flags, environment names, the TOML file and ``--check-config``
follow from the list.  ``X_FILE`` names a file that holds the value of ``X`` (secrets arrive so);
giving both is an error, because nobody could say which one counts.
"""

import argparse
import json
import os
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr import __version__
from flwr.core.errors import FlwrError, InvalidError

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off", ""})


class ConfigError(InvalidError):
    """A setting is missing, malformed or contradicts another."""


def read_flag(text: str) -> bool:
    """Read a yes/no word.

    Raises:
        ConfigError: it is neither.
    """
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise ConfigError(f"{text!r} is neither true nor false")
    return word in _TRUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One thing an operator may set."""

    flag: str  # "--fleet-api-address"
    help: str
    default: Any = None
    read: Callable[[str], Any] = str  # text to value; raises ValueError or FlwrError
    is_switch: bool = False  # takes no value on the command line
    is_secret: bool = False  # masked by --check-config
    aliases: tuple[str, ...] = ()  # further flags with the same meaning
    choices: tuple[str, ...] = ()
    metavar: str | None = None

    @property
    def name(self) -> str:
        """Key in the result and in the TOML file."""
        return self.flag.removeprefix("--").replace("-", "_")

    def env_name(self, prefix: str) -> str:
        """Environment variable that sets it."""
        return f"{prefix}_{self.name.upper()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A flag of older releases: recognised only to say what replaced it."""

    flag: str
    successor: str


def load_settings(
    program: str,
    settings: Sequence[Setting],
    argv: Sequence[str],
    *,
    description: str,
    env: Mapping[str, str] | None = None,
    refused: Sequence[Refused] = (),
) -> dict[str, Any]:
    """Return every setting's value by name; ``--help``, ``--version`` exit as usual.

    Environment names start with ``FLWR_`` and the program's last word: ``FLWR_SUPERLINK_...``.
    The result also holds ``check_config``: True when the operator asked only for a check.

    Raises:
        ConfigError: naming the setting, the value and the remedy.
    """
    parser = _parser(program, settings, description, refused)
    given = vars(parser.parse_args(list(argv)))
    for old in refused:
        if given.pop(_name(old.flag), None) is not None:
            raise ConfigError(f"{old.flag} is no longer a flag", hint=old.successor)
    environment = os.environ if env is None else env
    prefix = f"FLWR_{program.rsplit('-', maxsplit=1)[-1].upper()}"
    from_file = _read_file(given.pop("config") or environment.get(f"{prefix}_CONFIG"), settings)
    values: dict[str, Any] = {"check_config": given.pop("check_config")}
    for setting in settings:
        text = _choose(setting, given, environment, prefix, from_file)
        values[setting.name] = setting.default if text is None else _read(setting, text)
    return values


def show_settings(settings: Sequence[Setting], values: Mapping[str, Any]) -> str:
    """Return the settings as JSON, secrets masked; what ``--check-config`` prints."""
    shown = {
        s.name: "********" if s.is_secret and values[s.name] else values[s.name] for s in settings
    }
    return json.dumps(shown, indent=2, default=str)


def _name(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def _parser(
    program: str,
    settings: Sequence[Setting],
    description: str,
    refused: Sequence[Refused],
) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        allow_abbrev=False,
        epilog=(
            "Every flag can also be set by environment (FLWR_..., or FLWR_..._FILE naming a file "
            "that holds the value) or by the TOML file of --config."
        ),
    )
    parser.add_argument(
        "-V", "--version", action="version", version=f"Flower version: {__version__}"
    )
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    parser.add_argument(
        "--check-config",
        action="store_true",
        help="check and print the configuration, secrets masked, and exit",
    )
    for setting in settings:
        _add_flag(parser, setting)
    for old in refused:
        parser.add_argument(old.flag, nargs="?", const="", help=argparse.SUPPRESS)
    return parser


def _add_flag(parser: argparse.ArgumentParser, setting: Setting) -> None:
    text = setting.help.replace("%", "%%")
    if setting.is_switch:
        parser.add_argument(
            setting.flag,
            *setting.aliases,
            dest=setting.name,
            action="store_const",
            const="true",
            default=None,
            help=text,
        )
        return
    suffix = "" if setting.default is None else f" (default: {setting.default})"
    parser.add_argument(
        setting.flag,
        *setting.aliases,
        dest=setting.name,
        default=None,
        choices=setting.choices or None,
        metavar=setting.metavar,
        help=f"{text}{suffix}",
    )


def _choose(
    setting: Setting,
    given: Mapping[str, str | None],
    env: Mapping[str, str],
    prefix: str,
    from_file: Mapping[str, Any],
) -> str | None:
    """Return the text of the strongest source, None when nobody said anything."""
    if (by_flag := given[setting.name]) is not None:
        return by_flag
    name = setting.env_name(prefix)
    direct, path = env.get(name), env.get(f"{name}_FILE")
    if direct is not None and path is not None:
        raise ConfigError(f"both {name} and {name}_FILE are set", hint="keep one of them")
    if direct is not None:
        return direct
    if path is not None:
        return _read_text(path, f"{name}_FILE").strip()
    value = from_file.get(setting.name)
    if value is None:
        return None
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _read(setting: Setting, text: str) -> Any:
    if setting.choices and text not in setting.choices:
        raise ConfigError(f"{setting.flag} is {text!r}", hint=f"use one of {setting.choices}")
    try:
        return read_flag(text) if setting.is_switch else setting.read(text)
    except ValueError as cause:
        raise ConfigError(f"{setting.flag}: {cause}") from cause
    except FlwrError as cause:
        raise ConfigError(f"{setting.flag}: {cause.message}", hint=cause.hint) from cause


def _read_file(path: str | None, settings: Sequence[Setting]) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        table = tomllib.loads(_read_text(path, "--config"))
    except tomllib.TOMLDecodeError as cause:
        raise ConfigError(f"configuration file {path} is not TOML: {cause}") from cause
    values = {key.replace("-", "_"): value for key, value in table.items()}
    known = {s.name for s in settings}
    if unknown := sorted(set(values) - known):
        raise ConfigError(
            f"configuration file {path} sets unknown keys: {', '.join(unknown)}",
            hint=f"known keys: {', '.join(sorted(known))}",
        )
    return values


def _read_text(path: str, what: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError(f"{what} names {path}, which cannot be read: {cause}") from cause
