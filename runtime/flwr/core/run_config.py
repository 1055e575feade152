"""Run and node configuration: flat dictionaries of scalars (wire contract §15, app API §7.2)."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from flwr.core.errors import FailedPreconditionError, InvalidError

ConfigValue = bool | int | float | str
Config = dict[str, ConfigValue]

# key=value pairs: the value is one TOML literal, quoted strings may hold blanks and "=".
_PAIR: Final = re.compile(r"""\s*([A-Za-z0-9_.\-]+)=("(?:[^"\\]|\\.)*"|'[^']*'|[^\s]+)(?=\s|$)""")
_SCALARS: Final = (bool, int, float, str)


class ConfigSyntaxError(InvalidError):
    """A configuration text cannot be read."""

    def __init__(self, text: str, why: str) -> None:
        """Show the text, the reason and the wanted form."""
        super().__init__(
            f"cannot read configuration {text!r}: {why}",
            hint="""write key=value pairs with TOML values: 'lr=0.1 name="a b" verbose=true'""",
        )


class UnknownConfigKeyError(FailedPreconditionError):
    """An override names a key the app does not define."""

    def __init__(self, key: str, known: Iterable[str]) -> None:
        """List the keys that exist."""
        names = ", ".join(sorted(known)) or "none"
        super().__init__(
            f"Key '{key}' is not present in the app's run config. Known keys: {names}",
        )
        self.key = key


def flatten(nested: Mapping[str, Any], prefix: str = "") -> Config:
    """Return nested tables as one flat dictionary with dotted keys.

    Raises:
        InvalidError: a value is neither a table nor a bool, int, float or string.
    """
    flat: Config = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        elif isinstance(value, _SCALARS):
            flat[name] = value
        else:
            raise InvalidError(
                f"config value {name} is a {type(value).__name__}; "
                "only bool, int, float and string are allowed",
            )
    return flat


def unflatten(flat: Mapping[str, ConfigValue]) -> dict[str, Any]:
    """Return dotted keys as nested dictionaries; the inverse of ``flatten``."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *path, last = name.split(".")
        table = nested
        for part in path:
            table = table.setdefault(part, {})
        table[last] = value
    return nested


def parse_pairs(text: str) -> Config:
    """Read ``k=v k2="a b"`` into a flat dictionary; a dotted key stays one key.

    Raises:
        ConfigSyntaxError: anything but pairs with TOML values.
    """
    config: Config = {}
    position = 0
    while text[position:].strip():
        pair = _PAIR.match(text, position)
        if pair is None:
            raise ConfigSyntaxError(text, f"no key=value pair at {text[position:].strip()[:40]!r}")
        key, literal = pair.groups()
        config[key] = _parse_literal(text, literal)
        position = pair.end()
    return config


def parse_toml(text: str, *, source: str) -> Config:
    """Read a TOML document, nested tables flattened.

    Raises:
        ConfigSyntaxError: it is no TOML.
    """
    try:
        return flatten(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as cause:
        raise ConfigSyntaxError(source, str(cause)) from cause


def fuse(defaults: Mapping[str, ConfigValue], overrides: Mapping[str, ConfigValue]) -> Config:
    """Return ``defaults`` with ``overrides`` on top; types are not compared.

    Raises:
        UnknownConfigKeyError: an override names no default.
    """
    for key in overrides:
        if key not in defaults:
            raise UnknownConfigKeyError(key, defaults)
    return {**defaults, **overrides}


def _parse_literal(text: str, literal: str) -> ConfigValue:
    try:
        value = tomllib.loads(f"v = {literal}")["v"]
    except tomllib.TOMLDecodeError as cause:
        raise ConfigSyntaxError(text, f"{literal!r} is no TOML value") from cause
    if not isinstance(value, _SCALARS):
        raise ConfigSyntaxError(text, f"{literal!r} is no bool, int, float or string")
    return value
