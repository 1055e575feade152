"""The recorded facts about upstream's public names are what upstream's package says."""

from tests.contract.public_api.differences import UPSTREAM, surface_text
from tests.harness.toolset import Toolset


def test_the_record_is_what_upstreams_package_says(peer: Toolset) -> None:
    assert surface_text(peer.program("python")) == UPSTREAM.read_text()
