"""Payload files are laid out so that what follows an object's head begins on a page."""

import os
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from flwr.core.ids import ObjectId
from flwr.store.payload_layout import PAGE, file_name, lead_before, lead_of
from flwr.store.payloads import PayloadReader, Payloads

HEAD, BODY = b"ArrayChunk  100000\0", bytes(range(1, 251)) * 400
LARGE = HEAD + BODY
ID = ObjectId(sha256(LARGE).hexdigest())
LEAD = PAGE - len(HEAD)


@pytest.fixture
def payloads(tmp_path: Path) -> Payloads:
    return Payloads(tmp_path / "objects")


def written(payloads: Payloads, content: bytes, *, durable: bool = True, pieces: int = 1) -> str:
    writer = payloads.begin(ObjectId(sha256(content).hexdigest()), len(content), durable=durable)
    step = -(-len(content) // pieces)
    for start in range(0, len(content), step):
        writer.write(content[start : start + step])
    return writer.finish()


def opened(payloads: Payloads, name: str) -> PayloadReader:
    reader = payloads.open(name)
    assert reader is not None
    return reader


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("pieces", [1, 3])
def test_the_body_begins_on_a_page_and_reads_are_of_the_content(
    payloads: Payloads, durable: bool, pieces: int
) -> None:
    name = written(payloads, LARGE, durable=durable, pieces=pieces)

    assert (payloads.directory / name).read_bytes() == bytes(LEAD) + LARGE
    with closing(opened(payloads, name)) as reader:
        assert (reader.size, reader.lead) == (len(LARGE), LEAD)
        assert reader.read(0, reader.size) == LARGE
        assert reader.read(len(HEAD) + 5, 7) == BODY[5:12]
        assert reader.read(reader.size, 1) == b""
        target = bytearray(20)
        filled = reader.read_now(memoryview(target), 90_000)
        assert target[:filled] == LARGE[90_000 : 90_000 + filled]
        assert reader.has_hash(ID, suspected=True)


def test_a_file_is_written_in_small_steps_that_end_where_pages_do(
    payloads: Payloads, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    write = os.write

    def noted(descriptor: int, data: memoryview) -> int:
        written = write(descriptor, data)
        steps.append(os.lseek(descriptor, 0, os.SEEK_CUR))
        return written

    monkeypatch.setattr(os, "write", noted)
    content = HEAD.ljust(20, b"\0") + bytes(1_000_000)
    name = written(payloads, content, pieces=2)

    step = 32_768
    assert {end for end in steps if end % step} == {LEAD + len(content) // 2, LEAD + len(content)}
    assert [end for end in steps if end % step == 0] == list(range(step, 1_000_000, step))
    assert (payloads.directory / name).read_bytes() == bytes(LEAD) + content


@pytest.mark.parametrize(
    ("beginning", "lead"),
    [
        (b"no head at all" * 1_000, 0),
        (b"h" * (PAGE - 1) + b"\0body", 0),  # ends with the first page, where the body begins
        (b"h" * (PAGE - 2) + b"\0body", 1),
        (b"h" * PAGE + b"\0a head this long is not looked for", 0),
        (b"\0", PAGE - 1),
        (b"", 0),
    ],
)
def test_the_lead_depends_on_where_the_head_ends(
    payloads: Payloads, beginning: bytes, lead: int
) -> None:
    content = beginning + b"x" * 100_000

    assert lead_before(memoryview(beginning)) == lead
    name = payloads.write(ObjectId(sha256(content).hexdigest()), content)
    with closing(opened(payloads, name)) as reader:
        assert (reader.lead, reader.size) == (lead, len(content))
        assert reader.read(0, reader.size) == content


def test_what_is_on_its_way_can_be_read_as_it_comes(payloads: Payloads) -> None:
    writer = payloads.begin(ID, len(LARGE))
    assert list(payloads.names()) == []
    writer.write(LARGE[:50_000])
    assert writer.read(0, 100_000) == LARGE[:50_000]
    assert writer.read(len(HEAD), 3) == BODY[:3]
    assert len(list(payloads.names())) == 1
    writer.abandon()
    assert list(payloads.names()) == []


@pytest.mark.parametrize("unsure", ["", "~"])
def test_files_of_earlier_versions_are_their_content(payloads: Payloads, unsure: str) -> None:
    name = f"{ID[:2]}/{ID}.0123abcd{unsure}"
    (payloads.directory / name).parent.mkdir(parents=True)
    (payloads.directory / name).write_bytes(LARGE)

    with closing(opened(payloads, name)) as reader:
        assert (reader.size, reader.lead) == (len(LARGE), 0)
        assert reader.read(3, 9) == LARGE[3:12]
        assert reader.has_hash(ID)
    assert payloads.is_sound(name, ID)


@pytest.mark.parametrize("durable", [True, False])
@pytest.mark.parametrize("lead", [0, 1, LEAD, PAGE - 1])
def test_a_name_tells_the_lead(lead: int, durable: bool) -> None:
    name = file_name(ID, lead, durable=durable)
    assert lead_of(name) == lead
    assert name != file_name(ID, lead, durable=durable)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file[:LEAD],
        lambda file: file[: LEAD - 1],
        lambda file: file[:0],
        lambda file: file[:-1],
        lambda file: file[:-1] + b"?",
        lambda file: file[1:],
        lambda file: bytes(len(file)),
    ],
)
def test_damage_is_found(payloads: Payloads, damage: object) -> None:
    name = written(payloads, LARGE, durable=False)
    assert payloads.is_sound(name, ID)
    file = payloads.directory / name
    assert callable(damage)
    file.write_bytes(damage(file.read_bytes()))

    assert not payloads.is_sound(name, ID)
    with closing(opened(payloads, name)) as reader:
        assert not reader.has_hash(ID)
        assert reader.size >= 0


def test_an_unsynced_file_is_synced_as_it_lies(payloads: Payloads) -> None:
    name = written(payloads, LARGE, durable=False)
    payloads._unsynced[name] = True  # the disk refused some of it

    payloads.sync()

    assert not payloads.is_unsynced(name)
    assert (payloads.directory / name).read_bytes() == bytes(LEAD) + LARGE
