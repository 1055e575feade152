"""The templates of one executor: one per app that has messages, as few as possible.

A template is made for the first message of an app, serves the next ones whatever their run, and
retires when there was none for a while, when others need its place, or with the executor.  An app
that cannot have one is remembered: each of its messages gets a fresh interpreter.
"""

import asyncio
import logging
import os
import sys
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from flwr.core.limits import MAX_TEMPLATES, TEMPLATE_IDLE
from flwr.runner.template_process import (
    NO_SETTINGS,
    ForkedChild,
    Template,
    TemplateLostError,
    UnfitError,
)
from flwr.shell.memory import is_memory_short
from flwr.wire.clients.work import Bundle

log = logging.getLogger(__name__)

_UNFIT_KEPT: Final = 1024
_LAST_CHILDREN: Final = timedelta(seconds=2)  # when the executor ends, which waited for them
_ATTEMPTS: Final = 2  # a template may die, or turn out stale, just when it is needed

Start = Callable[[Path | None], Awaitable[Template]]


class _Place:
    """One app's template, in the making or made."""

    def __init__(self, load: Callable[["_Place"], Coroutine[Any, Any, Template]]) -> None:
        self.template: Template | None = None  # as soon as there is a process
        self.making = asyncio.create_task(load(self))
        self.waiting = 0  # launches
        self.timer: asyncio.TimerHandle | None = None

    def keep(self) -> None:
        """Stop the time until it retires."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    async def end(self) -> None:
        """Let it end with its last child; cancelled: at once."""
        self.keep()
        if not self.making.done():
            self.making.cancel()
            await asyncio.wait([self.making])
        if self.making.cancelled() or self.making.exception() is not None:
            return  # it has ended already
        template = self.making.result()
        template.retire()
        try:
            await template.ended()
        except asyncio.CancelledError:
            await template.stop()


class Templates:
    """Forks children of apps; begin and end it inside the event loop.

    Args:
        withheld: a directory whose files apps may not read.
        limit: templates that may be forked at one time.
        idle: how long one is kept that has nothing to do.
        start: starts a process.
        is_short: tells whether memory is; then a new template is the only one.
    """

    def __init__(
        self,
        withheld: Path | None = None,
        *,
        limit: int = MAX_TEMPLATES,
        idle: timedelta = TEMPLATE_IDLE,
        start: Start = Template.start,
        is_short: Callable[[], bool] = is_memory_short,
    ) -> None:
        self._is_short = is_short
        self._withheld, self._limit, self._idle, self._start = withheld, limit, idle, start
        self._places: OrderedDict[str, _Place] = OrderedDict()  # the least recently used first
        self._unfit: OrderedDict[str, None] = OrderedDict()
        self._ending: set[asyncio.Task[None]] = set()

    async def fork(
        self,
        bundle: Bundle,
        pipe: int,
        output: int,
        environment: Mapping[str, str] = NO_SETTINGS,
        taken: bytes = b"",
    ) -> ForkedChild | None:
        """Return a child that has imported the app; None when the app needs a fresh interpreter.

        Args:
            bundle: of the app.
            pipe: through which the child calls.
            output: where it prints, and where its import does if this is the first.
            environment: what the child has besides that of the template.
            taken: what the child is to do; where that is not small, it asks for it.

        Raises:
            OSError: no process is to be had.
        """
        key = f"{bundle.fab_hash}:{bundle.digest}"  # what no other has, if its hash is a lie too
        for _ in range(_ATTEMPTS):
            if key in self._unfit:
                return None
            place = self._places.get(key) or self._make(key, bundle, output)
            self._places.move_to_end(key)
            try:
                template = await self._ready(place)
                try:
                    return await template.fork(pipe, output, environment, taken)
                finally:
                    if template.is_idle:
                        self._retire_later(place)
            except UnfitError as error:
                self._note_unfit(key, bundle, error.message)
            except TemplateLostError as error:
                log.warning(
                    "The template of an app is of no use any more",
                    extra={"event": "template-lost", "fab": bundle.fab_hash, "cause": str(error)},
                )
                self._drop(place)
        self._note_unfit(key, bundle, "its template ended again and again")
        return None

    async def close(self) -> None:
        """End every template; those that still have children soon after are killed."""
        for place in list(self._places.values()):
            self._drop(place)
        if not self._ending:
            return
        _, late = await asyncio.wait(self._ending, timeout=_LAST_CHILDREN.total_seconds())
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    @property
    def pids(self) -> list[int]:
        """The templates that may be forked, or soon may be."""
        places = self._places.values()
        return [place.template.pid for place in places if place.template is not None]

    def _make(self, key: str, bundle: Bundle, output: int) -> _Place:
        while self._places and (len(self._places) >= self._limit or self._is_short()):
            self._drop(next(iter(self._places.values())))
        self._places[key] = place = _Place(partial(self._load, bundle, os.dup(output)))
        return place

    async def _load(self, bundle: Bundle, output: int, place: _Place) -> Template:
        try:
            template = place.template = await self._start(self._withheld)
            try:
                await template.load(bundle.content, bundle.fab_hash, output)
            except BaseException:
                await template.stop()
                raise
        finally:
            os.close(output)
        log.info(
            "App imported, its messages get forks of it",
            extra={"event": "template-ready", "fab": bundle.fab_hash, "pid": template.pid},
        )
        return template

    async def _ready(self, place: _Place) -> Template:
        template = await self._made(place)
        place.keep()
        template.on_idle = partial(self._retire_later, place)
        return template

    async def _made(self, place: _Place) -> Template:
        """Wait for the template; one that nobody waits for any more is not made."""
        if not place.making.done():
            place.waiting += 1
            try:
                await asyncio.wait([place.making])
            finally:
                place.waiting -= 1
                if not place.waiting and not place.making.done():
                    self._drop(place)
        if place.making.cancelled():
            raise TemplateLostError("its place was given to another app")
        if place.making.exception() is not None:
            self._drop(place)
        return place.making.result()

    def _retire_later(self, place: _Place) -> None:
        """Retire it unless it is wanted again."""
        place.keep()
        if place in self._places.values():
            loop = asyncio.get_running_loop()
            place.timer = loop.call_later(self._idle.total_seconds(), self._drop, place)

    def _drop(self, place: _Place) -> None:
        """Fork it no more."""
        for key, other in list(self._places.items()):
            if other is place:
                del self._places[key]
                task = asyncio.create_task(place.end())
                self._ending.add(task)
                task.add_done_callback(self._ending.discard)

    def _note_unfit(self, key: str, bundle: Bundle, why: str) -> None:
        if (place := self._places.get(key)) is not None:
            self._drop(place)
        if key in self._unfit:
            return
        self._unfit[key] = None
        while len(self._unfit) > _UNFIT_KEPT:
            self._unfit.popitem(last=False)
        log.warning(
            "Each message of an app gets a fresh interpreter",
            extra={"event": "fresh-start", "fab": bundle.fab_hash, "cause": why},
        )


def are_possible() -> bool:
    """Tell whether this platform has all that templates need; a seccomp profile may forbid it."""
    if sys.platform != "linux" or not Path("/proc/self/fd").is_dir():
        return False
    try:
        for descriptor in (os.pidfd_open(os.getpid()), os.memfd_create("trial")):
            os.close(descriptor)
    except (OSError, AttributeError):  # AttributeError: Python was built for something older
        return False
    return True
