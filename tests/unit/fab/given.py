"""Apps and bundles for tests, honest and hostile."""

import hashlib
import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

PYPROJECT = """\
[project]
name = "tiny-app"
version = "1.2.3"
description = "t"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "acme"

[tool.flwr.app.components]
serverapp = "tiny.server_app:app"
clientapp = "tiny.client_app:app"

[tool.flwr.app.config]
rounds = 3
opt.name = "sgd"
"""

_DATE = (2024, 10, 1, 0, 0, 0)  # fixed, as a builder's: the same files are the same bundle

FILES = {
    "pyproject.toml": PYPROJECT.encode(),
    "tiny/__init__.py": b"",
    "tiny/client_app.py": b"app = 2\n",
    "tiny/server_app.py": b"app = 1\n",
}


def app(folder: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """Write an app; ``files`` are added to, or replace, the ones of ``FILES``."""
    for name, data in {**FILES, **(files or {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return folder


def content_list(files: Mapping[str, bytes]) -> bytes:
    lines = (f"{p},{hashlib.sha256(d).hexdigest()},{len(d) * 8}" for p, d in files.items())
    return "\n".join(lines).encode()


def archive(
    entries: list[tuple[str | zipfile.ZipInfo, bytes]],
    method: int = zipfile.ZIP_STORED,
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as out:
        for name, data in entries:
            if isinstance(name, str):
                out.writestr(zipfile.ZipInfo(name, _DATE), data, compress_type=method)
            else:
                out.writestr(name, data)
    return buffer.getvalue()


def fab(
    files: Mapping[str, bytes] | None = None,
    *,
    method: int = zipfile.ZIP_STORED,
    listed: bytes | None = None,
) -> bytes:
    """Make a bundle of ``FILES`` and ``files``; its list of contents is honest unless given."""
    every = {**FILES, **(files or {})}
    entries: list[tuple[str | zipfile.ZipInfo, bytes]] = [*every.items()]
    return archive([*entries, (".info/CONTENT", listed or content_list(every))], method)


def patched(content: bytes, path: str, offset: int, form: str, value: int) -> bytes:
    """Overwrite one field of the central header of ``path``."""
    data = bytearray(content)
    at = data.rindex(path.encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    struct.pack_into(form, data, at + offset, value)
    return bytes(data)
