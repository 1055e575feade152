"""Templates and their forks: real processes, no daemon."""

import asyncio
import logging
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flwr.runner.templates import Templates
from flwr.shell.landlock import why_unavailable
from flwr.wire.clients.work import Bundle
from tests.unit.runner import appio_server
from tests.unit.runner.appio_server import PYPROJECT
from tests.unit.runner.forking import begin, bundle_of, fork, templates_with

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def answers(bundle: Bundle, count: int = 2) -> list[dict[str, Any]]:
    """Return what so many messages of one app say, one after the other."""

    async def scenario() -> list[dict[str, Any]]:
        async with templates_with() as templates:
            return [await (await begin(templates, bundle)).done() for _ in range(count)]

    return asyncio.run(scenario())


SPOILS = """
import os, signal, sys, tempfile
SEEN = []
@client.train()
def train(message, context):
    facts = {
        "seen": len(SEEN), "cwd": os.getcwd(), "left": os.environ.get("LEFT", ""),
        "handler": str(signal.getsignal(signal.SIGUSR1)), "path": len(sys.path),
        "open": len(os.listdir("/proc/self/fd")), "umask": os.umask(0o77),
        "template": os.getppid(), "group": os.getpgid(0) - os.getpid(),
    }
    SEEN.append(1)
    os.chdir("/")
    os.environ["LEFT"] = "behind"
    signal.signal(signal.SIGUSR1, lambda *_: None)
    sys.path.append("/nowhere")
    facts["file"] = os.open(os.devnull, os.O_RDONLY)
    return says(message, **facts)
"""


@pytest.mark.row("S5")
def test_a_message_finds_nothing_of_what_the_one_before_left(tmp_path: Path) -> None:
    first, second = answers(bundle_of(tmp_path, SPOILS))

    assert first == second
    assert first["seen"] == 0
    assert first["left"] == ""
    assert first["handler"] == str(signal.Handlers.SIG_DFL)
    assert first["group"] == 0, "a group of its own, for its runner to stop"
    assert Path(str(first["cwd"])) == Path.cwd()


SEES = """
import os
@client.train()
def train(message, context):
    return says(message, gpus=os.environ.get("CUDA_VISIBLE_DEVICES", "all"))
"""


def test_each_message_sees_the_gpus_that_it_was_given(tmp_path: Path) -> None:
    async def body() -> list[object]:
        async with templates_with() as templates:
            bundle = bundle_of(tmp_path, SEES)
            works = [
                await begin(templates, bundle, given)
                for given in ({"CUDA_VISIBLE_DEVICES": "1"}, {"CUDA_VISIBLE_DEVICES": "0,2"}, {})
            ]
            return [(await work.done())["gpus"] for work in works]

    assert asyncio.run(body()) == ["1", "0,2", "all"]


DRAWS = """
import random, os, uuid
import numpy as np
{seeding}
made = {{
    "random": random.Random(), "random seeded": random.Random(3),
    "pcg": np.random.default_rng(), "pcg seeded": np.random.default_rng(3),
    "philox": np.random.Generator(np.random.Philox()),
    "state": np.random.RandomState(), "state seeded": np.random.RandomState(3),
    "twister": np.random.Generator(np.random.MT19937()),
    "twister seeded": np.random.Generator(np.random.MT19937(3)),
    "spawned": np.random.default_rng().spawn(1)[0],
}}
made["random"].random(), made["pcg"].random(), made["state"].normal()
@client.train()
def train(message, context):
    drawn = {{name: float(rng.random()) for name, rng in made.items()}}
    return says(
        message, python=random.random(), numpy=float(np.random.rand()),
        new=float(np.random.default_rng().random()), uuid=uuid.uuid4().hex,
        system=os.urandom(4).hex(), child=float(made["pcg"].spawn(1)[0].random()), **drawn,
    )
"""


@pytest.mark.parametrize("seeding", ["random.random()", "random.seed(); np.random.seed()"])
def test_random_numbers_differ_between_messages_as_between_interpreters(
    tmp_path: Path, seeding: str
) -> None:
    first, second = answers(bundle_of(tmp_path, DRAWS.format(seeding=seeding)))

    for name, drawn in first.items():
        assert (drawn == second[name]) is name.endswith("seeded"), name


def test_numbers_that_the_app_seeds_when_imported_are_the_same_in_each_message(
    tmp_path: Path,
) -> None:
    seeding = "random.seed(5); np.random.seed(5)"
    first, second = answers(bundle_of(tmp_path, DRAWS.format(seeding=seeding)))

    assert first["python"] == second["python"] == pytest.approx(0.6229016948897019)
    assert first["numpy"] == second["numpy"] == pytest.approx(0.22199317108973948)
    assert first["random"] != second["random"]
    assert first["state"] != second["state"]


THREAD = """
import threading, time
threading.Thread(target=time.sleep, args=(60,), name="w", daemon=True).start()
"""


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (THREAD, "started the thread w"),
        ("import _thread, time\n_thread.start_new_thread(time.sleep, (9,))", "started 1 threads"),
        ("import subprocess\nsubprocess.Popen(['sleep', '5'])", "started another process"),
        ("import socket\nlistening = socket.socket()", "left socket:"),
        ("kept = open(__file__)", "tiny/app.py open"),
        ("import numpy\nkept = numpy.random.SeedSequence()", "without a seed"),
        ("import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)", "ignores SIGCHLD"),
        ("import mmap\nkept = mmap.mmap(-1, 4096)", "shares memory: /dev/zero (deleted)"),
        ("import multiprocessing\nlock = multiprocessing.Lock()", "shares memory"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os\nos._exit(3)", "ended again and again"),
    ],
)
def test_an_app_that_must_not_be_forked_gets_fresh_interpreters(
    tmp_path: Path, code: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = bundle_of(tmp_path, code)

    async def scenario() -> None:
        async with templates_with() as templates:
            assert await fork(templates, bundle) is None
            assert await fork(templates, bundle) is None
            assert templates.pids == []

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())
    said = [record for record in caplog.records if vars(record).get("event") == "fresh-start"]
    assert len(said) == 1, "it is said once"
    assert why in vars(said[0])["cause"]


def test_an_app_may_ask_for_fresh_interpreters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = 'publisher = "tester"\napp-start = "fresh"'
    monkeypatch.setattr(appio_server, "PYPROJECT", PYPROJECT.replace('publisher = "tester"', wish))

    async def scenario() -> None:
        async with templates_with() as templates:
            assert await fork(templates, bundle_of(tmp_path, "")) is None

    asyncio.run(scenario())


QUICK = """
import os
print("imported")
@client.train()
def train(message, context):
    print("working")
    return says(message, template=os.getppid())
"""


def test_what_the_import_prints_goes_to_the_first_message(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, QUICK)

    async def scenario() -> None:
        async with templates_with() as templates:
            for expected in ("imported\nworking\n", "working\n"):
                work = await begin(templates, bundle)
                await work.done()
                assert work.output() == expected

    asyncio.run(scenario())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(60):
        while is_running(pid):  # noqa: ASYNC110  # nobody but the kernel could tell us
            await asyncio.sleep(0.01)


def test_a_template_retires_when_it_has_nothing_to_do(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with templates_with(idle=timedelta(milliseconds=50)) as templates:
            work = await begin(templates, bundle_of(tmp_path, QUICK))
            [template] = templates.pids
            await work.done()
            await until_gone(template)
            assert templates.pids == []

    asyncio.run(scenario())


WAITS = """
import os, time
@client.train()
def train(message, context):
    print("begun", flush=True)
    time.sleep({seconds})
    return says(message, template=os.getppid())
"""


def test_the_template_used_longest_ago_gives_its_place_and_keeps_its_message(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with templates_with(limit=1) as templates:
            old = await begin(templates, bundle_of(tmp_path / "a", WAITS.format(seconds=1)))
            [template] = templates.pids
            new = await begin(templates, bundle_of(tmp_path / "b", QUICK))
            assert templates.pids != [template]
            assert len(templates.pids) == 1
            assert (await old.done())["template"] == template
            await new.done()
            await until_gone(template)

    asyncio.run(scenario())


def test_where_memory_is_short_a_new_template_is_the_only_one(tmp_path: Path) -> None:
    async def scenario() -> None:
        templates = Templates(is_short=lambda: True)
        await (await begin(templates, bundle_of(tmp_path / "a", QUICK))).done()
        [first] = templates.pids
        await (await begin(templates, bundle_of(tmp_path / "b", WAITS.format(seconds=0)))).done()
        assert len(templates.pids) == 1
        await until_gone(first)
        await templates.close()

    asyncio.run(scenario())


@pytest.mark.row("F12")
def test_an_app_edited_on_disk_is_imported_anew_from_its_bundle(tmp_path: Path, home: Path) -> None:
    bundle = bundle_of(tmp_path, QUICK)

    def edit() -> None:
        [source] = home.glob("apps/*/tiny/app.py")
        source.chmod(0o644)
        source.write_text("raise RuntimeError('edited')")

    async def scenario() -> None:
        async with templates_with() as templates:
            first = await (await begin(templates, bundle)).done()
            edit()
            second = await (await begin(templates, bundle)).done()
            assert first["template"] != second["template"]

    asyncio.run(scenario())


@pytest.mark.row("F5")
@pytest.mark.parametrize(
    ("deed", "code", "cause"),
    [
        ("os._exit(7)", 7, "exited with code 7"),
        ("os.kill(os.getpid(), 9)", -9, "was killed by SIGKILL"),
        ("import ctypes; ctypes.string_at(0)", -11, "was killed by SIGSEGV"),
        ("os.kill(os.getppid(), 9); time.sleep(9)", -9, "the template of its app was killed by"),
    ],
)
def test_how_a_fork_ended_is_known_at_once(
    tmp_path: Path, deed: str, code: int, cause: str
) -> None:
    app = f"import os, time\n@client.train()\ndef train(message, context):\n    {deed}\n"

    async def scenario() -> None:
        async with templates_with() as templates:
            work = await begin(templates, bundle_of(tmp_path / "bad", app))
            assert await work.ended() == code
            assert cause in work.child.cause_of_exit()
            again = await begin(templates, bundle_of(tmp_path / "bad", app))
            assert await again.ended() == code, "there is a template for the next message"

    asyncio.run(scenario())


def test_a_fork_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    app = (
        "import subprocess, time\n@client.train()\ndef train(message, context):\n"
        "    print(subprocess.Popen(['sleep', '60']).pid, flush=True)\n    time.sleep(60)\n"
    )

    async def scenario() -> None:
        async with templates_with() as templates:
            work = await begin(templates, bundle_of(tmp_path, app))
            loop = asyncio.get_running_loop()
            line = await loop.run_in_executor(None, os.read, work.printed, 100)
            await work.child.stop(timedelta(seconds=5))
            await until_gone(int(line))
            await work.serving
            os.close(work.printed)

    asyncio.run(scenario())


LOOKS = """
import os, time
from pathlib import Path
@client.train()
def train(message, context):
    mine, met = os.getpid(), {}
    listed = Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children")
    until = time.monotonic() + 1  # the kernel may leave one out while others come and go
    while len(children := listed.read_text().split()) == 1 and time.monotonic() < until:
        time.sleep(0.01)
    print("begun", flush=True)
    for who in {str(mine), str(os.getppid()), *children} - {str(mine)}:
        try:
            open(f"/proc/{who}/mem", "rb").close()
            met[who] = "had"
        except OSError as error:
            met[who] = error.strerror
    if len(children) == 1:
        time.sleep(60)
    return says(message, **met)
"""


@pytest.mark.skipif(why_unavailable() is not None, reason="Landlock keeps them apart")
def test_a_message_cannot_look_into_another_one_nor_into_their_template(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, LOOKS)

    async def scenario() -> None:
        async with templates_with() as templates:
            first = await begin(templates, bundle)
            await asyncio.get_running_loop().run_in_executor(None, os.read, first.printed, 100)
            met = await (await begin(templates, bundle)).done()
            assert met == dict.fromkeys(
                (str(first.child.pid), *map(str, templates.pids)), "Permission denied"
            )
            await first.child.stop(timedelta(0))
            await first.serving
            os.close(first.printed)

    asyncio.run(scenario())


@pytest.mark.row("F7")
def test_a_template_kills_its_forks_when_its_executor_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with templates_with() as templates:
            work = await begin(templates, bundle_of(tmp_path, WAITS.format(seconds=60)))
            await asyncio.get_running_loop().run_in_executor(None, os.read, work.printed, 100)
            place = next(iter(templates._places.values()))
            assert place.template is not None
            place.template._control.shutdown(2)
            await until_gone(work.child.pid)
            await work.serving
            os.close(work.printed)

    asyncio.run(scenario())


def test_a_template_that_nobody_waits_for_any_more_is_not_made(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "import time\ntime.sleep(60)")

    async def scenario() -> None:
        async with templates_with() as templates:
            waiting = asyncio.create_task(fork(templates, bundle))
            while not templates.pids:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.01)
            [template] = templates.pids
            waiting.cancel()
            await until_gone(template)
            assert templates.pids == []

    asyncio.run(scenario())


def test_no_process_to_be_had_is_an_error_and_the_next_message_tries_again(tmp_path: Path) -> None:
    async def refuse(_withheld: Path | None) -> Any:
        raise BlockingIOError("Resource temporarily unavailable")

    async def scenario() -> None:
        templates = Templates(start=refuse)
        for _ in range(2):
            with pytest.raises(OSError, match="temporarily"):
                await fork(templates, bundle_of(tmp_path, QUICK))
        await templates.close()

    asyncio.run(scenario())
