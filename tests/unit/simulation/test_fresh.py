"""What a message costs with ``app-start = "fresh"``, counted in pages of memory."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

APP: Final = """
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(message, context):
    (model,) = message.content["arrays"].to_numpy_ndarrays()
    content = RecordDict({"a": ArrayRecord([model + 1]), "m": MetricRecord({"n": 1})})
    return Message(content, reply_to=message)
"""
WORKER: Final = """
import resource, sys, time
import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.fab.entry import EntryReference
from flwr.simulation.backend import Answer, WorkerSetup
from flwr.simulation.fresh import employ
from flwr.simulation.packing import pack

sys.path.insert(0, ".")
setup = WorkerSetup(app=EntryReference("counted", "app"), run_id=1, num_partitions=2,
                    starts_fresh=True)
worker = employ(setup)
arrays = ArrayRecord([np.zeros(250, np.float32)])
content = pack(RecordDict({"arrays": arrays, "config": ConfigRecord({"round": 1})}))
metadata = Metadata(
    run_id=1, message_id="a", src_node_id=1, dst_node_id=2, reply_to_message_id="", group_id="",
    created_at=time.time(), ttl=60.0, message_type="train",
)
answers = [worker.work(metadata, content, 0, None) for _ in range(20)]
assert not any(Answer.unpack(answer).reply.has_error() for answer in answers)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt // len(answers))
"""
MOST: Final = 800  # pages; it was 960 when nothing was rehearsed and all done in the fork


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the figure is Python 3.11's")
def test_a_message_copies_few_pages(tmp_path: Path) -> None:
    (tmp_path / "counted.py").write_text(APP)
    done = subprocess.run(
        [sys.executable, "-c", WORKER],
        cwd=tmp_path,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < MOST
