"""F6: a killed process loses nothing it acknowledged; several processes may open one store."""

import subprocess
import sys
from pathlib import Path

import pytest

from flwr.core.ids import MessageId
from flwr.store.objects import ObjectState
from flwr.store.store import open_store
from tests import given

ROOT = Path(__file__).parents[3]  # where the package `tests` is found

# Acknowledges each step by a line on stdout, until it is killed.
WRITER = """
import sys
from flwr.store.store import open_store
from tests import given
store = open_store(sys.argv[1])
for n in range(100_000):
    content = n.to_bytes(4, "big") * 20_000
    message = given.instruction(message_id=given.object_id(b"%d" % n))
    tree = given.tree(message, content)
    with store.transaction() as tx:
        tx.objects.preregister(message.run_id, message.message_id, tree)
        tx.messages.add_instruction(message, tree, now=given.NOW, expires_at=given.NOW)
        tx.events.append(at=given.NOW, kind="message.queued", actor="test")
    store.put_object(given.object_id(content), content)
    if n >= 10:
        with store.transaction() as tx:
            tx.messages.delete([given.object_id(b"%d" % (n - 10))])
    print(n, flush=True)
"""
OPENER = """
import sys
from flwr.store.store import open_store
sys.stdin.readline()
store = open_store(sys.argv[1])
with store.transaction() as tx:
    tx.meta.set(sys.argv[2], "here")
store.close()
"""


@pytest.mark.row("F6", "F8")
@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 13, 30])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "link.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(steps)][-1]
    writer.kill()
    writer.communicate()

    store = open_store(str(path))
    with store.reading() as tx:
        tx.events.verify()
        for n in range(max(0, acknowledged - 8), acknowledged + 1):
            content = n.to_bytes(4, "big") * 20_000
            assert tx.messages.find_instruction(MessageId(given.object_id(b"%d" % n))) is not None
            assert tx.objects.get(given.object_id(content)) == content
        kept = [
            i.tree.children[0].object_id
            for i in tx.messages.for_run(given.instruction().run_id)
            if tx.objects.state(i.tree.children[0].object_id) is ObjectState.PRESENT
        ]
    files = sorted(p.name.split(".")[0] for p in (tmp_path / "link.db.objects").rglob("??/*"))
    assert files == sorted(kept)  # no file without a row, no row without its file
    store.close()


@pytest.mark.row("F6")
@pytest.mark.slow
def test_several_processes_create_one_store_together(tmp_path: Path) -> None:
    path = tmp_path / "link.db"
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(path), f"opener {n}"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.write("go\n")
        opener.stdin.flush()
    for opener in openers:
        _, told = opener.communicate(timeout=120)
        assert opener.returncode == 0, told
    store = open_store(str(path))
    with store.reading() as tx:
        assert [tx.meta.get(f"opener {n}") for n in range(4)] == ["here"] * 4
    store.close()
