"""A page that is served on this machine answers requests to its own address only."""

import pytest

from shards.interface.loopback import names_own_address


@pytest.mark.parametrize(
    ("host", "origin", "port", "is_own"),
    [
        ("127.0.0.1:8765", None, 8765, True),
        ("localhost:8765", "http://localhost:8765", 8765, True),
        ("127.0.0.1", None, 80, True),
        ("localhost:80", "http://127.0.0.1", 80, True),
        ("127.0.0.1", None, 8765, False),
        ("127.0.0.1:1", None, 8765, False),
        ("evil.example:8765", None, 8765, False),
        ("evil.example", None, 80, False),
        ("127.0.0.1.evil.example:8765", None, 8765, False),
        ("127.0.0.1:8765", "http://evil.example", 8765, False),
        ("127.0.0.1:8765", "http://127.0.0.1:1", 8765, False),
        ("127.0.0.1:8765", "https://127.0.0.1:8765", 8765, False),
        ("127.0.0.1:8765", "null", 8765, False),
        (None, None, 80, False),
        ("", "", 80, False),
    ],
)
def test_only_the_own_address_is_allowed(host: str | None, origin: str | None, port: int, is_own: bool) -> None:
    assert names_own_address(host, origin, port) == is_own
