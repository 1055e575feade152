"""Building images: those of the programs, and those of an app with its packages."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from flwr.sdk.checkout import find_checkout

BUILD_S: Final = 1800.0  # from nothing: bases, wheels, all roles


@dataclass(frozen=True, slots=True)
class AppImages:
    """Names of an app's two images; each belongs into one ``Executor``."""

    serverapp: str
    clientapp: str


def build_images(
    *roles: str, checkout: Path | str | None = None, timeout: float = BUILD_S
) -> dict[str, str]:
    """Build the images of the programs; what is up to date is left alone.

    Args:
        roles: superlink, supernode, serverapp, clientapp, cli, certs, postgres; none: all.
        checkout: folder with the sources; None: see ``find_checkout``.
        timeout: seconds.

    Returns:
        Names by role.

    Raises:
        CheckoutNotFoundError: there are no sources.
        ToolError: no engine answers, or an image does not build; says why and what to do.
        ToolTimeoutError: it took too long.
    """
    tool = "images/build.py"
    built = json.loads(
        find_checkout(checkout).run(tool, *roles, "--format", "json", timeout=timeout)
    )
    return {each["role"]: each["image"] for each in built}


def build_app_images(
    app: Path | str,
    *,
    requirements: Sequence[str] = (),
    debian_packages: Sequence[str] = (),
    refresh: bool = False,
    checkout: Path | str | None = None,
    timeout: float = BUILD_S,
) -> AppImages:
    """Build the two images of an app: its packages on top of serverapp and clientapp.

    Packages are those of its ``pyproject.toml`` (``[project] dependencies`` and ``debian-packages``
    in ``[tool.flwr-compose.image]``) and those given here.  They are fetched on this machine and
    installed without a network.  The app's own code is in no image: it travels with each run.
    What is up to date is left alone.

    Args:
        app: folder of the app.
        requirements: further packages of Python, ``"humanize==4.12.3"``.
        debian_packages: further packages of Debian, by name.
        refresh: fetch the newest releases that the app allows.
        checkout: folder with the sources; None: see ``find_checkout``.
        timeout: seconds.

    Raises:
        CheckoutNotFoundError: there are no sources.
        ToolError: no engine answers, a package is not to be had, or an image does not build.
        ToolTimeoutError: it took too long.
    """
    options = [f"--requirement={each}" for each in requirements]
    options += [f"--debian-package={each}" for each in debian_packages]
    options += ["--refresh"] if refresh else []
    folder = str(Path(app).expanduser().absolute())
    names = json.loads(
        find_checkout(checkout).run(
            "images/app_image.py", folder, *options, "--format", "json", timeout=timeout
        )
    )
    return AppImages(serverapp=names["serverapp"], clientapp=names["clientapp"])
