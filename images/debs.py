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
    options = ["--download-only", "--yes", "--no-install-recommends"]
    command = ["apt-get", "-qq", "install", *options, *packages]
    return _keep(command, installed(image), folder)


def fetch_alone(packages: Sequence[str], folder: Path) -> int:
    """Make ``folder`` hold just ``packages``, without what they need; return how many files.

    Raises:
        SetupError: apt knows no such package, or a mirror does not answer.
    """
    return _keep(["apt-get", "-qq", "download", *packages], "", folder)


def _keep(command: Sequence[str], status: str, folder: Path) -> int:
    key = hashlib.sha256("\n".join([*command, status]).encode()).hexdigest()
    if not (folder / _KEY).exists() or (folder / _KEY).read_text() != key:
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="debs-", dir=folder.resolve().parent) as name:
            work = Path(name)
            work.chmod(0o755)  # apt's own account reads in it
            archives = work / "cache" / "archives"
            _ask_apt(command, status, work, archives)
            shutil.rmtree(archives / "partial")
            (archives / "lock").unlink(missing_ok=True)
            (archives / _KEY).write_text(key)
            archives.rename(folder)
    return len([*folder.glob("*.deb")])


def _ask_apt(command: Sequence[str], status: str, work: Path, archives: Path) -> None:
    """Have an apt of our own fetch packages into ``archives``.

    Args:
        command: what to ask.
        status: dpkg's list of what is installed already.
        work: an empty folder for its state.
        archives: where it keeps packages, below ``work``.
    """
    (work / "lists" / "partial").mkdir(parents=True)
    (archives / "partial").mkdir(parents=True)
    (work / "status").write_text(status)
    (work / "sources.list").write_text(source_lines(debian.mirrors(), SUITE))
    config = work / "apt.conf"
    config.write_text(APT_CONFIG.format(work=work))
    env = {"APT_CONFIG": str(config)}
    # without the option, apt calls an update done that could not fetch everything
    run_apt(["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"], env=env)
    run_apt(command, env=env, cwd=archives)


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
