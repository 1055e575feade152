"""Which release's programs a test starts: ours, or upstream's from a virtual environment."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
INTEROP: Final = Path(os.environ.get("FLWR_INTEROP_DIR", ROOT / ".interop"))


@dataclass(frozen=True)
class Toolset:
    """The programs of one release."""

    name: str
    bin: Path

    def program(self, name: str) -> str:
        """Return the path of one of its commands."""
        return str(self.bin / name)

    @property
    def is_installed(self) -> bool:
        """True when its virtual environment is there."""
        return (self.bin / "flwr").exists()

    @property
    def is_ours(self) -> bool:
        """True for the project's own programs."""
        return self.name == "ours"

    @property
    def release(self) -> tuple[int, ...]:
        """Upstream's version as numbers; ours counts as the contract's."""
        text = "1.29.0" if self.is_ours else self.name.removeprefix("upstream-")
        return tuple(int(part) for part in text.split("."))


OURS: Final = Toolset("ours", Path(sys.executable).parent)


def upstream(version: str) -> Toolset:
    """Return the programs of upstream's ``version``, made by scripts/interop_venvs.py."""
    return Toolset(f"upstream-{version}", INTEROP / f"flwr-{version}" / "bin")
