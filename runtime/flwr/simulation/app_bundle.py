"""The app that ``flwr-simulation`` is to run, as a node of a deployment would get it."""

from pathlib import Path

from flwr.core.errors import InvalidError
from flwr.fab.build import build_fab
from flwr.fab.git_reference import is_git_reference, parse_git_reference
from flwr.fab.inline import read_inline_app
from flwr.fab.opened import opened_from_git, opened_inline
from flwr.simulation.config import SimulationSettings


def read_bundle(settings: SimulationSettings) -> bytes:
    """Return the bundle; what was fetched or written for it is gone.

    Raises:
        FlwrError: the app cannot be had, or is none.
    """
    if settings.server_app or settings.client_app:
        return _inline(settings)
    if is_git_reference(settings.app):
        reference = parse_git_reference(settings.app)
        with opened_from_git(reference, token_file=settings.git_token_file) as fetched:
            return build_fab(fetched.folder, origin=fetched.origin).content
    path = Path(settings.app).expanduser()
    if path.is_dir():
        return build_fab(path).content
    try:
        return path.read_bytes()
    except OSError as cause:
        raise InvalidError(
            f"the app {path} cannot be read: {cause}",
            hint="give a folder, a .fab file, git+https://HOST/OWNER/REPO, or two files with "
            "--server-app and --client-app",
        ) from cause


def _inline(settings: SimulationSettings) -> bytes:
    if not (settings.server_app and settings.client_app):
        raise InvalidError(
            "an inline app needs both --server-app and --client-app",
            hint="flwr-simulation --server-app server.py:app --client-app client.py:app",
        )
    app = read_inline_app(settings.server_app, settings.client_app, config=settings.run_config)
    with opened_inline(app) as folder:
        return build_fab(folder).content
