"""Where a program says how it is: the gRPC health port, and a file whose age tells it.

Both follow one state, ``wire.health.Health``.  The file is for containers: an image's health check
then needs no network, no gRPC and no certificate.  Only a program whose event loop turns keeps it
young, so one that hangs is found out too.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from flwr.shell.health_settings import HealthConfig
from flwr.shell.settings import ConfigError
from flwr.wire.health import Health, make_health_server
from flwr.wire.listening import until_resolvable

logger = logging.getLogger(__name__)

TOUCH_PERIOD: Final = timedelta(seconds=2)
_MODE: Final = 0o644  # a health check may run as somebody else


@asynccontextmanager
async def told(health: Health, config: HealthConfig) -> AsyncIterator[None]:
    """Tell ``health`` on the configured port and by the configured file while the block runs.

    Raises:
        FlwrError: the port cannot be bound, or the file cannot be written.
    """
    async with AsyncExitStack() as cleanup:
        if config.file is not None:
            await cleanup.enter_async_context(_told_by_file(health, config.file))
        if config.address is not None:
            await until_resolvable([config.address])
            server = make_health_server(config.address, health)
            await server.start()
            cleanup.push_async_callback(server.stop)
        yield


def take_away(file: Path | None) -> None:
    """Remove the file of a program that ends without leaving its ``told`` block."""
    if file is not None:
        with suppress(OSError):
            file.unlink(missing_ok=True)


@asynccontextmanager
async def _told_by_file(health: Health, path: Path) -> AsyncIterator[None]:
    _try_out(path)
    following = asyncio.create_task(_follow(health, path), name="health-file")
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        take_away(path)


async def _follow(health: Health, path: Path) -> None:
    is_written = True
    while True:
        try:
            _show(path, is_serving=health.is_serving)
            is_written = True
        except OSError as error:  # a full or vanished tmpfs; the file's age says it too
            if is_written:
                logger.warning(
                    "Cannot write the health file",
                    extra={"event": "health-file", "path": str(path), "cause": str(error)},
                )
            is_written = False
        with suppress(TimeoutError):
            async with asyncio.timeout(TOUCH_PERIOD.total_seconds()):
                await health.until_changed()


def _try_out(path: Path) -> None:
    """Leave no file of an earlier life, and find out now whether one can be written.

    Raises:
        ConfigError: it cannot.
    """
    try:
        _touch(path)
        path.unlink(missing_ok=True)
    except OSError as cause:
        raise ConfigError(
            f"cannot write --health-file {path}: {cause.strerror or cause}",
            hint="name a file in a directory this program may write, such as /tmp/health",
        ) from cause


def _show(path: Path, *, is_serving: bool) -> None:
    if is_serving:
        _touch(path)
    else:
        path.unlink(missing_ok=True)


def _touch(path: Path) -> None:
    # Never through a link: the directory is often one that everybody may write.
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, _MODE)
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)
