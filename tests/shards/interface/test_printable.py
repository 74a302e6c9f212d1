"""Text of strangers is made printable."""

import pytest

from shards.interface.printable import printable


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Größe \N{SLICE OF PIZZA} 中", "Größe \N{SLICE OF PIZZA} 中"),
        ("Not F\udcfcnd", r"Not F\xfcnd"),
        ("\x1b[31mred\r\b", r"\x1b[31mred\r\x08"),
        ("a\u202eb\u2028c\ud800", r"a\u202eb\u2028c\ud800"),
        ("two\nlines", "two\nlines"),
    ],
)
def test_what_a_terminal_cannot_show_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected
    assert printable(text).encode() is not None


def test_long_text_is_cut_after_it_is_escaped() -> None:
    assert printable("\x1b" * 100, 20) == r"\x1b\x1b\x1b\x1b\..."
    assert printable("x" * 20, 20) == "x" * 20
