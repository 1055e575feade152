"""Health of a container: its program touches a file every 2 s for as long as it serves.

``python3 -I -S /opt/flwr/health.py [FILE]`` ends with 0 when FILE (default /tmp/health) is younger
than 15 s, else with 1 and the reason. It imports nothing that costs: engines run it every 10 s.
"""

import os
import sys
import time

FILE = "/tmp/health"  # noqa: S108  a private tmpfs of the container, named by its image
LIMIT_S = 15.0  # seven missed touches


def ailment(file: str, now: float) -> str:
    """Return what is wrong, nothing when the program serves.

    Args:
        file: what the program touches.
        now: seconds since the epoch.
    """
    try:
        age = now - os.stat(file).st_mtime  # noqa: PTH116  pathlib would double the cost
    except OSError as cause:
        return f"not serving: {file}: {cause.strerror}"
    if age > LIMIT_S:
        return f"not serving: {file} was last touched {age:.0f} s ago"
    if age < -LIMIT_S:
        # the clock was set back; a live program would have touched it again by now
        return f"not serving: {file} is dated {-age:.0f} s in the future"
    return ""


if __name__ == "__main__":
    found = ailment(sys.argv[1] if len(sys.argv) > 1 else FILE, time.time())
    if found:
        sys.stdout.write(f"{found}\n")
    sys.exit(1 if found else 0)
