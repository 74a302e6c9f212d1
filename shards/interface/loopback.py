"""Requests to a page that is served on this machine: only its own address may be in them.

A page of another site can send requests to 127.0.0.1, and by DNS rebinding even read the answers. The Host header then
names the other site, and so does the Origin header.
"""

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_HTTP_PORT = 80


def names_own_address(host: str | None, origin: str | None, port: int) -> bool:
    """Return whether the Host and Origin headers of a request name the address that the page is served at.

    Browsers send no Origin with a plain GET, and leave out port 80.
    """
    own = {f"{name}:{port}" for name in _NAMES} | (set(_NAMES) if port == _HTTP_PORT else set())
    return host in own and (origin is None or origin in {f"http://{address}" for address in own})
