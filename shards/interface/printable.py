"""Text from strangers -> text that every terminal, table and page can hold."""


def printable(text: str, max_chars: int | None = None) -> str:
    r"""Escape control characters and bytes that are not UTF-8, such as `\x1b`.

    A result that is longer than `max_chars` is cut and ends in `...`. Line feeds are kept. Bytes that are not UTF-8 are
    in `text` as surrogates (PEP 383).
    """
    escaped = "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in text)
    if max_chars is None or len(escaped) <= max_chars:
        return escaped
    return escaped[: max_chars - 3] + "..."


def _escape(character: str) -> str:
    if "\udc80" <= character <= "\udcff":
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
