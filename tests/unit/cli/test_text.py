import pytest

from flwr.cli.present import bytes_text, duration_text
from flwr.control.terminal import LogText, printable


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (42.9, "42s"),
        (89, "89s"),
        (90, "1m 30s"),
        (338, "5m 38s"),
        (10_920, "3h 2m"),
        (100_800, "1d 4h"),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (512, "512 B"), (3900, "3.8 KB"), (12_582_912, "12 MB"), (2**41, "2.0 TB")],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert bytes_text(size) == text


@pytest.mark.row("F36")
@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("\x1b[2J\x1b[Hx", "x"),
        ("\x1bcx", "x"),
        ("a\rb\x08\x9b31mc", "ab31mc"),
        ("Grüße 🌼", "Grüße 🌼"),
    ],
)
def test_terminal_commands_are_removed(text: str, clean: str) -> None:
    assert printable(text) == clean


def test_colours_may_pass_and_nothing_else() -> None:
    assert printable("\x1b[31mred\x1b[0m\x1b[2J", colours=True) == "\x1b[31mred\x1b[0m"


def test_a_sequence_cut_by_chunking_is_put_together() -> None:
    text = LogText(colours=True)
    assert [text.feed("a\x1b"), text.feed("[9"), text.feed("2mb")] == ["a", "", "\x1b[92mb"]
