"""The way of a message, gone by a worker before it has any, with an app of our own.

See ``clientapp.stand_in`` for what that is good for.  The worker's own app is not imported yet.
"""

import threading
from collections.abc import Callable
from contextlib import suppress

from flwr.app import RecordDict
from flwr.app.array import NUMPY_STYPE, parts_of
from flwr.app.npy import remember
from flwr.clientapp.stand_in import (
    REHEARSALS,
    stand_in_app,
    stand_in_content,
    stand_in_metadata,
)
from flwr.shell.ending import flush_open_files
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.employee import Employee
from flwr.simulation.packing import pack


def rehearse(setup: WorkerSetup) -> None:
    """Answer instructions that nobody sent."""
    employee = Employee(setup, stand_in_app())
    metadata, content = stand_in_metadata(setup.run_id), pack(stand_in_content())
    # What Python itself does in a fork; no thread but this one is there yet.
    begin: Callable[[], None] = getattr(threading, "_after_fork", _nothing)
    for _ in range(REHEARSALS):
        begin()
        employee.work(metadata, content, 0, None)
        flush_open_files()


def foresee(content: RecordDict) -> None:
    """Do what will be done to a content once in each fork, and can be remembered here."""
    for record in content.array_records.values():
        for array in record.values():
            if array.stype == NUMPY_STYPE:
                with suppress(ValueError):  # it is damaged: the app will hear of it
                    remember(parts_of(array))


def _nothing() -> None:
    """Stand in where there is nothing to rehearse."""
