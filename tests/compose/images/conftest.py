"""Images as they are built here, and one way to look inside them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from images import build, inputs

from tests.harness.toolset import ROOT

# As compose runs them, and without a network at all.
CONFINED: Final = (
    *("--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"),
    *("--security-opt=no-new-privileges", "--user=10001:10001"),
)


@dataclass(frozen=True, slots=True)
class Images:
    """The images of this working tree."""

    variables: dict[str, str]

    def name(self, role: str) -> str:
        """Return an image's name and tag."""
        return build.image_name(role, self.variables)

    def inspect(self, role: str) -> dict[str, Any]:
        """Return what the engine knows about an image."""
        command = ["docker", "image", "inspect", self.name(role)]
        found = subprocess.run(command, check=True, capture_output=True, text=True)
        first: dict[str, Any] = json.loads(found.stdout)[0]
        return first

    def run(
        self, role: str, *args: str, entrypoint: str = "", options: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a confined container."""
        command = ["docker", "run", *CONFINED, *options]
        command += [f"--entrypoint={entrypoint}"] if entrypoint else []
        return subprocess.run(
            [*command, self.name(role), *args], check=False, capture_output=True, text=True
        )

    def python(self, role: str, code: str) -> str:
        """Return what ``code`` prints inside an image, as the program's own Python."""
        done = self.run(role, "-c", code, entrypoint="python3")
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="session")
def images() -> Images:
    """The images, up to date with this working tree."""
    command = [sys.executable, str(ROOT / "images" / "build.py"), "--format=json"]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return Images({"REGISTRY": "flwr-compose", "VERSION": inputs.version(ROOT)})
