"""Generate ``runtime/flwr/proto`` from ``proto``; with ``--check`` only tell whether it is stale.

Two source trees become one Python package:

- ``proto/flwr/proto/*.proto`` (the wire contract) -> ``flwr.proto``
- ``proto/flwr/compose/v1/*.proto`` (our extensions) -> ``flwr.proto.compose.v1``
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import grpc_tools
from grpc_tools import protoc

ROOT: Final = Path(__file__).resolve().parent.parent
TARGET: Final = ROOT / "runtime" / "flwr" / "proto"
# Import path of the generated modules, and the folder under proto/ that holds their sources.
TREES: Final = {"flwr/proto": "flwr/proto", "flwr/proto/compose/v1": "flwr/compose/v1"}
OUTPUTS: Final = {"python": "", "grpc_python": "", "mypy": "quiet:", "mypy_grpc": "quiet:"}
GENERATED: Final = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


class ProtocError(Exception):
    """The compiler refused the sources; it has printed why."""


def main(arguments: list[str] | None = None) -> int:
    """Generate, or compare; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if the generated code is stale")
    checking = parser.parse_args(arguments).check
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
        if checking:
            return report(stale(fresh))
        replace(fresh)
    return 0


def generate(scratch: Path) -> dict[str, bytes]:
    """Compile every source; return the generated files by their path below ``TARGET``."""
    sources = [
        f"{package}/{path.name}"
        for package, folder in TREES.items()
        for path in sorted((ROOT / "proto" / folder).glob("*.proto"))
    ]
    # A mapping "-Iimport/path=folder" lets the extensions be generated below flwr.proto.
    includes = [f"-I{package}={ROOT / 'proto' / folder}" for package, folder in TREES.items()]
    includes.append(f"-I{Path(grpc_tools.__file__).parent / '_proto'}")
    plugins = [
        f"--plugin={name}={Path(sys.executable).parent / name}"
        for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
    ]
    outputs = [f"--{kind}_out={option}{scratch}" for kind, option in OUTPUTS.items()]
    if protoc.main(["protoc", *includes, *plugins, *outputs, *sources]) != 0:
        raise ProtocError
    root = scratch / "flwr" / "proto"
    drop_empty_grpc(root)
    return {str(path.relative_to(root)): path.read_bytes() for path in generated_below(root)}


def drop_empty_grpc(root: Path) -> None:
    """Delete the gRPC modules of files that define no service."""
    for path in root.rglob("*_pb2_grpc.py"):
        if "class " not in path.read_text():
            path.unlink()
            path.with_suffix(".pyi").unlink(missing_ok=True)


def generated_below(root: Path) -> Iterable[Path]:
    """Return every generated file below ``root``."""
    return sorted(path for pattern in GENERATED for path in root.rglob(pattern))


def stale(fresh: dict[str, bytes]) -> list[str]:
    """Return the committed files that differ from ``fresh``, are missing or are left over."""
    present = {str(p.relative_to(TARGET)): p.read_bytes() for p in generated_below(TARGET)}
    return sorted(n for n in fresh.keys() | present.keys() if fresh.get(n) != present.get(n))


def report(names: list[str]) -> int:
    """Print what is stale; return the exit status."""
    for name in names:
        print(f"stale: {(TARGET / name).relative_to(ROOT)}", file=sys.stderr)
    if names:
        print("run: make proto", file=sys.stderr)
    return 1 if names else 0


def replace(fresh: dict[str, bytes]) -> None:
    """Write the generated files and delete those without a source."""
    for path in generated_below(TARGET):
        path.unlink()
    for name, content in fresh.items():
        path = TARGET / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


if __name__ == "__main__":
    sys.exit(main())
