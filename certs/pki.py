#!/usr/bin/env python3
"""Start the PKI tool, from wherever it lies: `python certs/pki.py --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # where `certs` is found

try:
    from certs.commands import main
except ModuleNotFoundError as missing:
    if (missing.name or "").partition(".")[0] != "cryptography":
        raise
    sys.stderr.write(
        "pki.py: error: Python's `cryptography` is not installed\n"
        "  what to do: make setup, then .venv/bin/python certs/pki.py; or run the container:\n"
        '  docker run --rm -v "$PWD/.state/certs:/certs" flwr-compose/certs:0.1.0 --help\n'
    )
    sys.exit(3)  # as everywhere here: something this program depends on is not to be had

if __name__ == "__main__":
    sys.exit(main())
