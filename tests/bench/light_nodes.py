"""Thousands of nodes in one process: each registered, alive, waiting for instructions.

``python -m tests.bench.light_nodes ADDRESS COUNT`` joins them to a SuperLink without TLS, prints
``ready SECONDS`` once all are online, keeps them so until SIGTERM, and ends with one line of JSON.
A node is a key, a line and the calls it needs beside it, all as a SuperNode does them, signatures
included; what it lacks is an executor.  Hundreds of nodes share one connection.
"""

import argparse
import asyncio
import json
import signal
import sys
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

import grpc

from flwr.auth.node_keys import new_node_key
from flwr.core.clock import SystemClock
from flwr.core.errors import FlwrError
from flwr.core.limits import NODE_HEARTBEAT
from flwr.supernode.pulse import Pulse
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.fleet import FleetClient

# Each has a line and now and then a call open; servers take 1,000 calls of one connection.
NODES_PER_CHANNEL: Final = 400
JOINING_AT_ONCE: Final = 32
_RETRY_S: Final = 1.0


class LightNodes:
    """So many nodes, their calls counted."""

    def __init__(self, address: str, count: int, interval: timedelta = NODE_HEARTBEAT) -> None:
        """Nothing is sent before ``run``.

        Args:
            address: Fleet API of the SuperLink, in clear text.
            count: number of nodes.
            interval: between the heartbeats of a node.
        """
        self._address, self._count, self._interval = address, count, interval
        self._doors = asyncio.Semaphore(JOINING_AT_ONCE)
        self._online = 0
        self.calls: Counter[str] = Counter()
        self.all_online = asyncio.Event()

    async def run(self) -> None:
        """Join and stay until cancelled."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
            for number in range(self._count):
                if number % NODES_PER_CHANNEL == 0:
                    channel = await stack.enter_async_context(open_aio_channel(self._address, None))
                group.create_task(self._live(channel))

    async def _live(self, channel: grpc.aio.Channel) -> None:
        async with self._doors:
            node = await asyncio.to_thread(_new_client, channel)
            await node.register()
            await node.activate(self._interval, remembers=False)
        self._online += 1
        if self._online == self._count:
            self.all_online.set()
        pulse = Pulse(SystemClock(), self._interval)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._beat(node, pulse))
            group.create_task(self._pull(node, pulse))

    async def _beat(self, node: FleetClient, pulse: Pulse) -> None:
        while True:
            await pulse.until_due()
            try:
                self.calls["heartbeat" if await node.heartbeat(self._interval) else "unknown"] += 1
            except FlwrError:
                self.calls["failed"] += 1

    async def _pull(self, node: FleetClient, pulse: Pulse) -> None:
        while True:
            try:
                pulled = await pulse.during(node.pull_messages)
                self.calls["message" if pulled.deliveries else "pull"] += 1
            except FlwrError:
                self.calls["failed"] += 1
                await asyncio.sleep(_RETRY_S)


def _new_client(channel: grpc.aio.Channel) -> FleetClient:
    key, clock = new_node_key(), SystemClock()
    return FleetClient(channel, key, clock=clock, is_durable=False, secure=_keep_nothing)


async def _keep_nothing() -> None:
    """Nothing is stored here."""


async def _main(address: str, count: int) -> None:
    nodes = LightNodes(address, count)
    begun = time.monotonic()
    running = asyncio.create_task(nodes.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    joined = asyncio.create_task(nodes.all_online.wait())
    await asyncio.wait([running, joined], return_when=asyncio.FIRST_COMPLETED)
    if joined.done():
        print(f"ready {time.monotonic() - begun:.3f}", flush=True)
    try:
        await running
    except asyncio.CancelledError:
        print(json.dumps(nodes.calls), flush=True)
    finally:
        joined.cancel()


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("address", help="Fleet API of a SuperLink without TLS, HOST:PORT")
    parser.add_argument("count", type=int, help="number of nodes")
    args = parser.parse_args()
    asyncio.run(_main(args.address, args.count))
    return 0


if __name__ == "__main__":
    sys.exit(main())
