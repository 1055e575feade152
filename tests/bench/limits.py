"""The machine's own limits, to compare rounds with: what no runtime in Python can go below.

``python -m tests.bench.limits`` measures them in a process of its own and prints JSON; it takes
some seconds.
"""

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np

from tests.bench.figures import median
from tests.harness.ports import free_port
from tests.harness.toolset import ROOT

_MB: Final = 1_000_000
_BLOCK: Final = 64 * _MB
_METHOD: Final = "/bench.Echo/Echo"
_SENDER: Final = """
import socket, sys
block = bytes(1 << 20)
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as there:
    for _ in range(int(sys.argv[2])):
        there.sendall(block)
"""


def measure() -> dict[str, float]:
    """Return each limit, in seconds or in MB per second by the end of its name."""
    return {
        "process_start_s": _typical(lambda: _python("-I", "-S", "-c", "pass"), 15),
        "import_numpy_s": _typical(lambda: _python("-c", "import numpy"), 5),
        "import_grpc_s": _typical(lambda: _python("-c", "import grpc"), 5),
        "fork_s": _typical(_fork, 200),
        "durable_write_s": _durable_write(),
        "loopback_mb_per_s": _loopback(512),
        "memcpy_mb_per_s": _memcpy(),
        "sha256_mb_per_s": _sha256(),
        "grpc_echo_s": _grpc_echo(),
    }


def measure_apart(timeout: float = 120) -> dict[str, float]:
    """Measure in a process of its own, with nothing of ours in it."""
    argv = [sys.executable, "-m", "tests.bench.limits"]
    done = subprocess.run(
        argv, cwd=ROOT, capture_output=True, text=True, check=True, timeout=timeout
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _typical(do: Callable[[], object], times: int) -> float:
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        do()
        took.append(time.perf_counter() - begun)
    return median(took)


def _python(*args: str) -> None:
    subprocess.run([sys.executable, *args], check=True)


def _fork() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _durable_write() -> float:
    with tempfile.NamedTemporaryFile(dir=ROOT / ".state") as file:

        def write() -> None:
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())

        return _typical(write, 50)


def _loopback(megabytes: int) -> float:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        argv = [sys.executable, "-c", _SENDER, str(listener.getsockname()[1]), str(megabytes)]
        with subprocess.Popen(argv):
            there, _ = listener.accept()
            buffer = bytearray(1 << 20)
            got, begun = 0, time.perf_counter()
            with there:
                while count := there.recv_into(buffer):
                    got += count
            return got / _MB / (time.perf_counter() - begun)


def _memcpy() -> float:
    source = np.ones(_BLOCK, dtype=np.uint8)
    target = np.empty_like(source)
    np.copyto(target, source)
    return _BLOCK / _MB / _typical(lambda: np.copyto(target, source), 10)


def _sha256() -> float:
    data = bytes(_BLOCK)
    return _BLOCK / _MB / _typical(lambda: hashlib.sha256(data).digest(), 3)


def _grpc_echo() -> float:
    address = f"127.0.0.1:{free_port()}"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.bench.limits", address], cwd=ROOT
    ) as server:
        try:
            with grpc.insecure_channel(address) as channel:
                grpc.channel_ready_future(channel).result(timeout=20)
                echo: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_METHOD)
                return _typical(lambda: echo(bytes(100)), 500)
        finally:
            server.kill()


async def _serve(address: str) -> None:
    async def echo(request: bytes, _: object) -> bytes:
        return request

    service, method = _METHOD.strip("/").split("/")
    server = grpc.aio.server()
    handlers: dict[str, Any] = {method: grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


def main() -> int:
    """Measure, or serve the echo at the address that is given."""
    if len(sys.argv) > 1:
        asyncio.run(_serve(sys.argv[1]))
        return 0
    Path(ROOT / ".state").mkdir(exist_ok=True)
    print(json.dumps(measure()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
