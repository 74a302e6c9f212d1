"""Shorten texts of a listing for display."""

MAX_LENGTH = 500


def shorten(text: str) -> str:
    """Return a text of at most 500 characters, with an ellipsis where it was cut."""
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
