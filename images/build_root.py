"""A minimal Debian with shell, apt and Python's venv: where wheels are installed, and apps live.

mmdebstrap makes it.  Inside, apt knows Debian's public mirrors and nothing of this machine.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from scripts.debian import KEYRING, SUITE, Mirrors, SetupError, source_lines

SOURCES_INSIDE: Final = f"""\
Types: deb
URIs: http://deb.debian.org/debian
Suites: {SUITE} {SUITE}-updates
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: {SUITE}-security
Components: main
Signed-By: {KEYRING}
"""
# dpkg inside keeps to this too, so that packages added later stay as small
LEFT_OUT: Final = (
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    *(f"path-exclude=/usr/share/{name}/*" for name in ("bug", "info", "lintian", "locale", "man")),
)
# What reaches mirrors from this machine (proxies, authorities, a frozen archive's dates)
_ACCESS: Final = re.compile(r"^Acquire::(?:https?|ftp|Check-|Retries|AllowReleaseInfoChange)")
COMPILE: Final = (
    "python3 -m compileall -q -f --invalidation-mode unchecked-hash /usr/lib/python3.13"
)
MANIFEST: Final = r"dpkg-query --show --showformat='${Package} ${Version} ${Architecture}\n'"


def make(packages: Sequence[str], where: Mirrors, work: Path, out: Path, epoch: int) -> list[str]:
    """Make the root's tar; return its packages as sorted ``name version architecture`` lines.

    Raises:
        SetupError: mmdebstrap is missing or failed.
    """
    if shutil.which("mmdebstrap") is None:
        raise SetupError("mmdebstrap is missing", "run: python3 scripts/engine.py install")
    (work / "access.conf").write_text(access_options(), encoding="utf-8")
    (work / "inside.sources").write_text(SOURCES_INSIDE, encoding="utf-8")
    (work / "mirrors.list").write_text(source_lines(where, SUITE), encoding="utf-8")
    log = work / "mmdebstrap.log"
    with log.open("w") as lines:
        done = subprocess.run(
            command(packages, work, out),
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "SOURCE_DATE_EPOCH": str(epoch),
                "PYTHONHASHSEED": "0",
                "TMPDIR": str(work),
            },
            stdin=subprocess.DEVNULL,
            stdout=lines,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-12:])
        raise SetupError(f"mmdebstrap failed:\n{tail}", "mend what it says, then run this again")
    return sorted((work / "manifest").read_text(encoding="utf-8").splitlines())


def command(packages: Sequence[str], work: Path, out: Path) -> list[str]:
    """Put together the command line of mmdebstrap."""
    sources, manifest = (shlex.quote(str(work / name)) for name in ("inside.sources", "manifest"))
    hooks = (
        # nothing of this machine stays inside: neither mirrors nor proxies nor names
        'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*',
        f"upload {sources} /etc/apt/sources.list.d/debian.sources",
        'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/resolv.conf "$1"/etc/hostname',
        f'chroot "$1" {COMPILE}',
        f'chroot "$1" {MANIFEST} > {manifest}',
    )
    return [
        "mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=minbase",
        "--format=tar",
        "--skip=output/dev",
        f"--include={','.join(packages)}",
        f"--aptopt={work / 'access.conf'}",
        *(f"--dpkgopt={option}" for option in LEFT_OUT),
        *(f"--customize-hook={hook}" for hook in hooks),
        SUITE,
        str(out),
        str(work / "mirrors.list"),
    ]


def access_options() -> str:
    """Copy the settings by which this machine's apt reaches its mirrors."""
    done = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in done.splitlines() if _ACCESS.match(line))
