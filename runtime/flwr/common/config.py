"""Nested and flat configuration, for apps that import it from here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord
from flwr.app.user_config import UserConfig, UserConfigValue
from flwr.core.errors import FlwrError
from flwr.core.run_config import flatten, parse_pairs, unflatten
from flwr.fab.manifest import check_document, parse_document


def flatten_dict(raw_dict: Mapping[str, Any] | None, parent_key: str = "") -> UserConfig:
    """Return nested dictionaries as one with dotted keys.

    Raises:
        ValueError: a value is neither a dictionary nor bool, int, float or str.
    """
    try:
        return flatten(raw_dict or {}, f"{parent_key}." if parent_key else "")
    except FlwrError as error:
        raise ValueError(error.message) from error


def unflatten_dict(flat_dict: Mapping[str, UserConfigValue]) -> dict[str, Any]:
    """Return a dictionary with dotted keys as nested ones."""
    return unflatten(flat_dict)


def fuse_dicts(
    main_dict: UserConfig, override_dict: UserConfig, check_keys: bool = True
) -> UserConfig:
    """Return ``main_dict`` with the values of ``override_dict`` for the keys that both have.

    Raises:
        ValueError: ``check_keys``, and an override has a key of its own.
    """
    for key in override_dict:
        if check_keys and key not in main_dict:
            raise ValueError(f"Key '{key}' is not present in the main dictionary")
    return {key: override_dict.get(key, value) for key, value in main_dict.items()}


def parse_config_args(config: list[str] | None, flatten: bool = True) -> dict[str, Any]:
    """Read ``k=v`` pairs whose values are TOML literals.

    Raises:
        ValueError: a text is no such pair.
    """
    try:
        flat = parse_pairs(" ".join(config or []))
    except FlwrError as error:
        raise ValueError(error.message) from error
    return dict(flat) if flatten else unflatten(flat)


def get_project_config(project_dir: str | Path) -> dict[str, Any]:
    """Return the checked ``pyproject.toml`` of the app in ``project_dir``.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it describes no app; all problems are listed.
    """
    content = (Path(project_dir) / "pyproject.toml").read_bytes()
    try:
        document = parse_document(content)
        check_document(document)
    except FlwrError as error:
        raise ValueError(error.message) from error
    return dict(document)


def user_config_to_configrecord(config: UserConfig) -> ConfigRecord:
    """Return ``config`` as a record."""
    return ConfigRecord(dict(config))
