"""A deployment on disk, an instant, and a way to look at what changed."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from certs.deployment import Deployment
from certs.storage import Storage

NOW = datetime(2031, 5, 4, 12, tzinfo=UTC)
Make = Callable[..., Deployment]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "certs"


@pytest.fixture
def make(root: Path) -> Make:
    """Run `all`; files belong to whoever runs the tests."""

    def run(
        *,
        hosts: list[str] | None = None,
        names: tuple[str, ...] = ("", ""),
        force: bool = False,
        now: datetime = NOW,
    ) -> Deployment:
        deployment = Deployment(root, now=now, storage=Storage(root, is_superuser=False))
        deployment.make_all(hosts=hosts, names=names, force=force)
        return deployment

    return run


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def changed(deployment: Deployment) -> dict[str, str]:
    return {str(c.path.relative_to(deployment.layout.root)): c.why for c in deployment.changes}
