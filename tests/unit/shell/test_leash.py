"""A fork dies with its maker, however that ends."""

import os
import select
import signal
import subprocess
import sys
from typing import Final

import pytest

MAKER: Final = """
import os, sys, time
from flwr.shell.leash import Leash
leash = Leash()
if os.fork() == 0:
    leash.put_on()
    print(os.getpid(), flush=True)
    time.sleep(60)
    os._exit(0)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux'")
def test_a_fork_does_not_outlive_its_maker() -> None:
    maker = subprocess.Popen(
        [sys.executable, "-c", MAKER], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert maker.stdout is not None
    with maker.stdout:
        fork = os.pidfd_open(int(maker.stdout.readline()))
    try:
        maker.send_signal(signal.SIGKILL)
        assert maker.wait(60) == -signal.SIGKILL
        assert select.select([fork], [], [], 60)[0]
    finally:
        os.close(fork)
