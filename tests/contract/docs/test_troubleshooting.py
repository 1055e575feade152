"""What the troubleshooting page says that you read is what the programs say."""

import re
from typing import Final

import pytest

from tests.harness.toolset import ROOT

PAGE: Final = ROOT / "docs" / "troubleshooting.md"
# Said by others: the engine, the builder, the kernel, Python; or where it is said.
OF_OTHERS: Final = (
    "bind source path does not exist",
    "port is already allocated",
    "address already in use",
    "No such image",
    "dependency failed to start",
    "pull access denied",
    "failed to solve",
    "ModuleNotFoundError",
    "Read-only file system",
    "Network is unreachable",
    "Permission denied",
    "/run/secrets",
    "flwr log",
    "flwr supernode list",
)


def said() -> list[str]:
    """Return the messages of the first columns, each as its fixed parts joined by an ellipsis."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    first = [row.split("|")[1] for row in rows]
    quoted = [message for cell in first for message in re.findall(r"`([^`]+)`", cell)]
    return [m for m in quoted if not m.startswith(OF_OTHERS)]


@pytest.fixture(scope="module")
def sources() -> str:
    """Every module as one text; strings that are written in pieces are joined."""
    texts = [file.read_text() for file in sorted((ROOT / "runtime" / "flwr").rglob("*.py"))]
    return re.sub(r'"\s*\n\s*f?"', "", "\n".join(texts))


@pytest.mark.parametrize("message", said())
def test_our_programs_say_it(message: str, sources: str) -> None:
    parts = [part.strip(" :") for part in message.split("…") if part.strip(" :")]
    parts = [part for part in parts if part not in OF_OTHERS]
    pattern = r"[^\n]*".join(map(re.escape, parts))
    found = re.search(pattern, sources) or all(part in sources for part in parts)
    assert found, f"{PAGE.name} quotes what nobody says: {message}"


def test_the_page_quotes_something() -> None:
    assert len(said()) > 10
