"""What a hardened container does to a program, without an engine."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_NOBODY: Final = 10001  # in no list of users, so it has no home
INSIDE: Final = Path("/mnt")  # where a program finds the one directory it is given
_NAMESPACES: Final = ("unshare", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child")
_SCRIPT: Final = """
set -e
mount --bind "$1" /mnt
mount --bind "$1/hosts" /etc/hosts
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -o remount,ro,bind /
cd /
shift
exec setpriv {user} --bounding-set=-all --inh-caps=-all --no-new-privs -- "$@"
"""


def _user() -> int:
    """Return whom programs run as: bare root, where only root has the interpreter."""
    places = Path(sys.executable).resolve().parents
    is_for_all = all(place.stat().st_mode & stat.S_IXOTH for place in places)
    return _NOBODY if is_for_all else 0


class Confinement:
    """Runs programs as process 1, as a user without a home, in ``/``, on a read-only root.

    What can be written is an empty /tmp, and what ``directory`` made below ``shared``, which is at
    ``INSIDE`` there.
    """

    def __init__(self, shared: Path, hosts: Mapping[str, str]) -> None:
        self._shared = shared
        shared.chmod(0o755)
        lines = [f"{address} {name}\n" for name, address in hosts.items()]
        (shared / "hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))

    def argv(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` confined."""
        user = _user()
        switch = f"--reuid {user} --regid {user} --clear-groups" if user else ""
        script = _SCRIPT.format(user=switch)
        return [*_NAMESPACES, "sh", "-c", script, "confined", str(self._shared), *command]

    def directory(self, name: str) -> Path:
        """Make a directory that a program may write; return its path inside."""
        (self._shared / name).mkdir()
        os.chown(self._shared / name, _user(), _user())
        return INSIDE / name

    def why_not(self) -> str | None:
        """Return why nothing can be confined on this machine, None when it can."""
        if any(shutil.which(tool) is None for tool in ("unshare", "setpriv", "mount")):
            return "needs unshare, setpriv and mount"
        probe = self.argv([sys.executable, "-c", "import flwr"])
        tried = subprocess.run(probe, capture_output=True, text=True, check=False)
        return None if tried.returncode == 0 else f"cannot confine: {tried.stderr.strip()[-200:]}"


def bare(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing names a place to write."""
    dropped = ("HOME", "FLWR_HOME", "TMPDIR", "XDG_")
    return {name: value for name, value in env.items() if not name.startswith(dropped)}
