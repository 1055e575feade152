import asyncio
import os
from datetime import timedelta

import pytest

from flwr.core.errors import UnavailableError, UnimplementedError
from flwr.runner import logs
from flwr.runner.logs import CUT_NOTE, AppOutput, LogShipper, OutputReader, chunks, drained


class Server:
    """Collects what is sent; may refuse."""

    def __init__(self, error: Exception | None = None) -> None:
        self.received: list[str] = []
        self.error = error

    async def __call__(self, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.received.append(text)


async def ship(server: Server, *texts: str, limit_bytes: int = 1_000_000) -> None:
    shipper = LogShipper(server, limit_bytes=limit_bytes)
    running = asyncio.create_task(shipper.run())
    for text in texts:
        shipper.write(text)
        await shipper.until_room()
    shipper.close()
    async with asyncio.timeout(60):
        await running


def test_output_arrives_in_order_and_whole_when_closed_at_once() -> None:
    server = Server()

    asyncio.run(ship(server, *(f"line {i}\n" for i in range(1000))))

    assert "".join(server.received) == "".join(f"line {i}\n" for i in range(1000))
    assert len(server.received) < 10  # batched


def test_what_is_queued_at_the_end_does_not_wait_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.runner.logs.LOG_FLUSH", timedelta(hours=1))

    async def scenario() -> list[str]:
        server = Server()
        shipper = LogShipper(server)
        running = asyncio.create_task(shipper.run())
        shipper.write("last words")
        await asyncio.sleep(0)  # the batch is open
        shipper.close()
        async with asyncio.timeout(60):
            await running
        return server.received

    assert asyncio.run(scenario()) == ["last words"]


@pytest.mark.row("F36")
def test_a_flood_is_cut_with_a_note() -> None:
    server = Server()

    asyncio.run(ship(server, "a" * 60, "b" * 60, "c" * 60, limit_bytes=100))

    assert "".join(server.received) == "a" * 60 + "b" * 40 + CUT_NOTE


@pytest.mark.parametrize("error", [UnimplementedError("old server"), UnavailableError("gone")])
def test_output_that_nobody_takes_does_not_stop_the_app(error: Exception) -> None:
    asyncio.run(ship(Server(error), "a", "b"))


def test_a_full_buffer_slows_the_app_and_loses_nothing_at_its_end() -> None:
    async def scenario() -> str:
        server, open_for_sending = Server(), asyncio.Event()

        async def send(text: str) -> None:
            await open_for_sending.wait()
            await server(text)

        shipper = LogShipper(send, limit_bytes=100_000_000)
        running = asyncio.create_task(shipper.run())
        output, printed = os.pipe()
        reader = OutputReader(output, shipper.write, shipper.until_room)
        printing = asyncio.create_task(asyncio.to_thread(_print, printed, b"x" * 5_000_000))
        await asyncio.sleep(0.1)
        assert not printing.done()
        shipper.make_room()
        await printing
        await drained([reader], timedelta(seconds=60))
        shipper.close()
        open_for_sending.set()
        await running
        return "".join(server.received)

    assert len(asyncio.run(scenario())) == 5_000_000


def test_characters_split_between_reads_are_joined() -> None:
    async def scenario() -> str:
        received: list[str] = []
        output, printed = os.pipe()

        def write(text: str) -> bool:
            received.append(text)
            return True

        reader = OutputReader(output, write, asyncio.Event().wait)
        for byte in "héé\n".encode():
            os.write(printed, bytes([byte]))
            reader.read_now()
        os.close(printed)
        await reader.ended
        return "".join(received)

    assert asyncio.run(scenario()) == "héé\n"


def test_a_pipe_held_open_by_a_stray_grandchild_is_given_up() -> None:
    async def scenario() -> None:
        output, printed = os.pipe()
        reader = OutputReader(output, lambda _: True, asyncio.Event().wait)
        await drained([reader], timedelta(milliseconds=20))
        assert reader.ended.done()
        with pytest.raises(BrokenPipeError):
            os.write(printed, b"nobody reads")
        os.close(printed)

    asyncio.run(scenario())


def test_chunks_respect_the_limit_in_bytes() -> None:
    text = "é" * 1000
    pieces = list(chunks(text, 100))
    assert "".join(pieces) == text
    assert all(len(piece.encode()) <= 100 for piece in pieces)


def _print(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def test_what_an_app_prints_is_repeated_here_by_whole_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a line of our own log may follow the beginning of an app's, and is none."""
    printed: list[str] = []
    monkeypatch.setattr(logs, "echo", printed.append)
    server = Server()

    async def body() -> None:
        output = AppOutput(server, echoes=True)
        reads, writes = os.pipe()
        output.read(reads)
        for text in ("a line", "\nand ", "another\nbegun"):
            os.write(writes, text.encode())
            output.read_now()
        os.close(writes)
        await output.flush()
        await output.close()

    asyncio.run(body())

    assert printed == ["a line\n", "and another\n", "begun\n"]
    assert "".join(server.received) == "a line\nand another\nbegun"
