"""Folders of the host that containers see: there, and readable for who runs inside."""

import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from scripts.diagnosis.findings import Result, finding, fine, skipped
from scripts.diagnosis.model import SECRETS, Model, Mount

LOOKED_AT: Final = 2000  # entries of one folder; more would make a doctor of big data slow
_GROUP_LOOKS: Final = 0o050  # of a folder: list it and enter it
_READ, _WRITE, _ENTER = 4, 2, 1


def check_mounts(model: Model | None) -> Iterator[Result]:
    """Look at every bind mount with the eyes of the container's user."""
    if model is None:
        yield skipped("mounts", "Compose cannot resolve the deployment")
        return
    found = [result for mount in model.mounts if (result := _check(mount)) is not None]
    yield from found or [fine("mounts", f"{len(model.mounts)} folders, readable inside")]


def _check(mount: Mount) -> Result | None:
    who = f"{', '.join(mount.services)}: {mount.source}"
    try:
        if not mount.source.exists():
            return finding("mounts", f"{who} does not exist", _making(mount))
        shut = _first_shut(mount)
    except PermissionError as error:
        return skipped("mounts", f"{who}: {error.filename} is not for this user to see (try sudo)")
    if shut is None:
        return None
    found = shut.stat()
    rights = f"{found.st_uid}:{found.st_gid} {stat.filemode(found.st_mode)}"
    what = "be read" if mount.is_read_only else "be written"
    text = f"{who}: {shut.name} is {rights} and cannot {what} inside, as uid {mount.uid}"
    return finding("mounts", text, _mending(mount))


def _making(mount: Mount) -> str:
    if mount.target == SECRETS:
        name = mount.source.name
        if name in {"postgres", "superlink-database"}:
            return "make database-secret"
        number = name.rpartition("-")[2]
        return f"make certs NODES={number}" if number.isdigit() else "make certs"
    return f"mkdir -p {mount.source}, or correct the path in compose/.env"


def _mending(mount: Mount) -> str:
    source = mount.source
    if mount.target == SECRETS or mount.source.name == "superlink-database":
        return f"sudo chown -R 0:{mount.uid} {source} && sudo chmod -R u=rwX,g=rX,o= {source}"
    if not mount.is_read_only:
        return f"sudo chown -R {mount.uid}:{mount.uid} {source}"
    found = source.stat()
    is_open_to_group = found.st_mode & _GROUP_LOOKS == _GROUP_LOOKS
    if is_open_to_group and found.st_gid and mount.target == "/mnt/data":
        return f"set FLWR_DATA_GROUP={found.st_gid} in compose/.env"
    return f"sudo chgrp -R {mount.uid} {source} && sudo chmod -R g+rX {source}"


def _first_shut(mount: Mount) -> Path | None:
    """Return the first thing in the folder that is out of the container's reach."""
    for path in islice(_walk(mount.source), LOOKED_AT):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            continue
        needed = _READ | (_ENTER if path.is_dir() else 0)
        needed |= 0 if mount.is_read_only else _WRITE
        if not _allows(found, mount, needed):
            return path
    return None


def _walk(root: Path) -> Iterator[Path]:
    yield root
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in (*folders, *files):
            yield Path(folder) / name


def _raise(error: OSError) -> None:
    raise error


def _allows(found: os.stat_result, mount: Mount, needed: int) -> bool:
    if mount.uid == 0:
        return True
    shift = 6 if found.st_uid == mount.uid else 3 if found.st_gid in mount.groups else 0
    return found.st_mode >> shift & needed == needed
