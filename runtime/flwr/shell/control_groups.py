"""Which control groups this process is in, for those who read their limits.

A group's limit holds for all groups below it, so whoever asks reads every one.  In a container the
innermost that can be seen is the root of what is mounted; elsewhere it is a service's or slice's.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final

MOUNT: Final = Path("/sys/fs/cgroup")
MEMBERSHIP: Final = Path("/proc/self/cgroup")


def own_groups(
    controller: str, mount: Path = MOUNT, membership: Path = MEMBERSHIP
) -> Iterator[Path]:
    """Yield the directories of our groups, the innermost first; of version 2, and of version 1.

    Args:
        controller: of version 1, such as "cpu".
        mount: where control groups are mounted.
        membership: says which are ours.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    inside = {"0": mount, controller: mount / controller}
    paths = dict.fromkeys(inside, PurePosixPath("/"))
    for line in lines:
        number, controllers, path = line.split(":", 2)
        for name in [number] if number == "0" else controllers.split(","):
            if name in paths:
                paths[name] = PurePosixPath(path)
    for name, root in inside.items():
        for part in (paths[name], *paths[name].parents):
            group = root / part.relative_to("/")
            if ".." not in part.parts and group.is_dir():
                yield group
