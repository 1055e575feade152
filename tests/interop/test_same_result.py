"""The same app file under both packages: equal final parameters for the same seed."""

from pathlib import Path

from tests.harness.apps import TINY, digest_in
from tests.harness.federation import CONNECTION, Federation


def test_the_same_app_gives_the_same_model(tmp_path: Path, tls: bool, upstream_digest: str) -> None:
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.start_node(2)

        done = federation.flwr("run", str(TINY), CONNECTION, "--stream")

        assert digest_in(done.stdout) == upstream_digest
