"""Files that cannot compute the version repeat it; none may be forgotten when it changes."""

import re
import subprocess
from typing import Final

import pytest
from images.inputs import LOCAL_REGISTRY, ROLES, version

from tests.harness.toolset import ROOT

_SPELLINGS: Final = (
    re.compile(rf"{LOCAL_REGISTRY}/(?:{'|'.join(ROLES)}):(\d[\w.]*\w)"),
    re.compile(r"FLWR_VERSION(?::-|=)(\d[\w.]*\w)"),
    re.compile(r'variable "VERSION" \{\s*default = "([^"]+)"'),
)


def spelled() -> list[tuple[str, str]]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    found = []
    for name in listed.stdout.splitlines():
        file = ROOT / name
        if name.startswith(("docs/changes/", "tests/")) or not file.is_file():
            continue
        text = file.read_bytes().decode(errors="replace")
        found += [(name, match) for spelling in _SPELLINGS for match in spelling.findall(text)]
    return found


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only version control knows the files")
def test_every_version_that_is_spelled_out_is_the_projects() -> None:
    found = spelled()
    assert {"images/docker-bake.hcl", "compose/roles.yaml", "scripts/pki.sh"} <= {
        n for n, _ in found
    }
    assert [(n, v) for n, v in found if v != version(ROOT)] == []


@pytest.mark.parametrize("text", ["flwr-compose/cli:9.9.9", "${FLWR_VERSION:-9.9.9}"])
def test_another_version_would_be_seen(text: str) -> None:
    assert [m for s in _SPELLINGS for m in s.findall(text)] == ["9.9.9"]
