"""The container engine, through python-on-whales, which is an extra and imported on first use."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flwr.sdk.checkout import clean_environment
from flwr.sdk.errors import DeployError, MissingExtraError

if TYPE_CHECKING:
    from python_on_whales import DockerClient

ANSWER_S: Final = 60.0  # for questions, which an engine answers at once
_SERVICE: Final = "com.docker.compose.service"
_GIVEN_UP: Final = 124  # exit code of coreutils' timeout
_HINT: Final = "make doctor, in the checkout, looks for what commonly goes wrong"
_SHOWN: Final = 1500  # last characters of what the engine said


def compose_client(
    name: str, files: Sequence[Path], settings: Path, *, limit_s: float = ANSWER_S
) -> "DockerClient":
    """Return a client of one compose project.

    Args:
        name: of the project.
        files: that make it up, in order.
        settings: values for their variables; this process's own do not count.
        limit_s: when a call that has not ended is given up.

    Raises:
        MissingExtraError: python-on-whales is not installed.
        DeployError: there is no docker command.
    """
    whales = require_engine()
    strange = sorted(os.environ.keys() - clean_environment().keys())
    forget = ["env", *(f"--unset={each}" for each in strange)] if strange else []
    return whales(
        client_call=[*_limited(limit_s), *forget, "docker"],
        compose_files=list(files),
        compose_env_files=[settings],
        compose_project_name=name,
        compose_project_directory=files[0].parent,
    )


def host_address() -> str:
    """Return the address by which containers on the engine's default network call this host.

    For a trial with server and site on one host: the server's certificate must be for it, see
    ``make_server_keys(hosts=...)``, and the site dials it.

    Raises:
        MissingExtraError: python-on-whales is not installed.
        DeployError: no engine answers, or it has no such network.
    """
    with explained("ask for the default network"):
        client = require_engine()(client_call=[*_limited(ANSWER_S), "docker"])
        config = client.network.inspect("bridge").ipam.config
    if not config:
        raise DeployError("the engine has no default bridge network")
    return str(config[0]["Gateway"])


@contextmanager
def explained(doing: str) -> Iterator[None]:
    """Turn the engine's failure into ours.

    Raises:
        DeployError: with the engine's own last words.
    """
    require_engine()
    from python_on_whales import DockerException  # noqa: PLC0415 - an extra

    try:
        yield
    except DockerException as cause:
        if cause.return_code == _GIVEN_UP:
            raise DeployError(
                f"the engine could not {doing} in time: it does not answer", hint=_HINT
            ) from cause
        said = (cause.stderr or cause.stdout or str(cause)).strip()[-_SHOWN:]
        raise DeployError(f"the engine could not {doing}: {said}", hint=_HINT) from cause


def service_of(labels: "dict[str, str] | None") -> str:
    """Return the service whose container has these labels."""
    return (labels or {}).get(_SERVICE, "")


def _limited(limit_s: float) -> list[str]:
    """Return what gives a call up that has not ended in time, where the machine has it."""
    has_it = shutil.which("timeout") is not None  # not on macOS
    return ["timeout", "--foreground", "--kill-after=5", f"{limit_s:g}"] if has_it else []


def require_engine() -> "type[DockerClient]":
    """Return the class of clients.

    Raises:
        MissingExtraError: python-on-whales is not installed.
        DeployError: there is no docker command.
    """
    try:
        from python_on_whales import DockerClient  # noqa: PLC0415 - an extra
    except ImportError as cause:
        raise MissingExtraError from cause
    if shutil.which("docker") is None:
        raise DeployError(
            "there is no docker command on this machine",
            hint="install Docker Engine and Compose; on Debian: make engine, in the checkout",
        )
    return DockerClient
