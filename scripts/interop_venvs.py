#!/usr/bin/env python3
"""Make virtual environments with upstream's releases, the peers that tests/interop talks to.

``python scripts/interop_venvs.py`` makes the contract's release; ``--matrix`` makes every release
of the compatibility matrix.  An environment that is complete is kept; one that was interrupted is
made anew.  Everything comes from the package registry by name.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CONTRACT: Final = "1.29.0"
SUPERNODES: Final = ("1.23.0", "1.26.1", "1.33.0", "1.39.0")
CLIS: Final = ("1.21.0", "1.28.0", "1.36.0")
ROOT: Final = Path(__file__).resolve().parents[1]
COMPLETE: Final = "complete"


def make_venv(version: str, folder: Path) -> bool:
    """Make the environment of one release; False when it was there already.

    The contract's can simulate: it has upstream's own extra, with the Ray that belongs to it.
    """
    home = folder / f"flwr-{version}"
    wanted = f"flwr[simulation]=={version}" if version == CONTRACT else f"flwr=={version}"
    complete = home / COMPLETE
    if complete.exists() and complete.read_text().strip() == wanted:
        complete.touch()  # for make, which asks whether it is newer than this script
        return False
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(home / "bin" / "pip"), "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, wanted, "scikit-learn"], check=True)
    complete.write_text(f"{wanted}\n")
    return True


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--matrix", action="store_true", help="every release of the matrix")
    parser.add_argument("--dir", type=Path, default=os.environ.get("FLWR_INTEROP_DIR"))
    args = parser.parse_args()
    folder = args.dir or ROOT / ".interop"
    wanted = [CONTRACT, *(sorted({*SUPERNODES, *CLIS}) if args.matrix else [])]
    for version in wanted:
        made = make_venv(version, folder)
        print(f"upstream flwr {version}: {'made' if made else 'there already'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
