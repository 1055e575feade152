"""Debian packages on top of an image: fetched on this machine, installed without a network.

This machine's apt knows its mirrors, proxies and keys; a build need not. What the image has already
is not fetched: apt is shown the image's own list of installed packages instead of this machine's.
"""

import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from images.run_root import APT_CONFIG
from scripts import debian
from scripts.debian import SUITE, SetupError, run_apt, source_lines

_KEY: Final = "key"


def can_fetch() -> bool:
    """Whether this machine's apt can be asked for packages of the images' suite."""
    return debian.has_apt() and debian.distribution().is_debian


def fetch(packages: Sequence[str], image: str, folder: Path) -> int:
    """Make ``folder`` hold what ``image`` lacks for having ``packages``; return how many files.

    Raises:
        SetupError: apt knows no such package, or a mirror does not answer.
    """
    status = installed(image)
    key = hashlib.sha256("\n".join([*sorted(packages), status]).encode()).hexdigest()
    if not (folder / _KEY).exists() or (folder / _KEY).read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="debs-", dir=folder.parent) as name:
            work = Path(name)
            work.chmod(0o755)  # apt's own account reads in it
            download(packages, status, work)
            found = work / "cache" / "archives"
            shutil.rmtree(found / "partial")
            (found / "lock").unlink(missing_ok=True)
            (found / _KEY).write_text(key)
            found.rename(folder)
    return len([*folder.glob("*.deb")])


def download(packages: Sequence[str], status: str, work: Path) -> None:
    """Fetch packages and what they need into ``work/cache/archives``.

    Args:
        packages: names.
        status: dpkg's list of what is installed already.
        work: an empty folder.
    """
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    (work / "status").write_text(status)
    (work / "sources.list").write_text(source_lines(debian.mirrors(), SUITE))
    config = work / "apt.conf"
    config.write_text(APT_CONFIG.format(work=work))
    env = {"APT_CONFIG": str(config)}
    run_apt(["apt-get", "-qq", "update"], env=env)
    options = ["--download-only", "--yes", "--no-install-recommends"]
    run_apt(["apt-get", "-qq", "install", *options, *packages], env=env)


def installed(image: str) -> str:
    """Return dpkg's list of what an image has installed.

    Raises:
        SetupError: the image is missing, or no Debian.
    """
    command = ["docker", "run", "--rm", "--network=none", "--user=0", "--entrypoint=cat"]
    command += [image, "/var/lib/dpkg/status"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SetupError(f"{image} does not list its packages", "build it: images/build.py")
    return done.stdout
