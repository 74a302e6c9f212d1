"""Guard against server-side request forgery: connect to public addresses and to allowed hosts only.

A listing and a redirect may come from anybody, and must not reach what only this machine or its network can, such as a
cloud's metadata service. The address is checked when it is connected to: a second look-up of a name may return another
address.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from curation.config_checks import parse_host

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 prefix for IPv4 addresses (RFC 6052). It counts as reserved, but leads to the embedded address."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(OSError):
    """An address that is not public. All have the same message, so that a host's verdict does not depend on which."""

    def __init__(self, address: str) -> None:
        super().__init__(errno.EACCES, "a private, loopback, link-local or reserved address")
        self.may_be_allowed = not _is_link_local(address)
        """False for link-local addresses: clouds serve the credentials of a machine there."""


def is_public(address: str) -> bool:
    """Return whether an address, and any address embedded in it, is on the public internet."""
    try:
        outer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_public, _find_destinations(outer)))


def _is_public(address: Address) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def _is_link_local(address: str) -> bool:
    try:
        outer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = outer.ipv4_mapped if isinstance(outer, ipaddress.IPv6Address) else None
    return any(inner.is_link_local for inner in (mapped or outer, *_find_destinations(outer)))


def _find_destinations(address: Address) -> Iterator[Address]:
    """Yield the addresses that a packet to this one may reach."""
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour:
            yield address.sixtofour
        if address.teredo:
            yield address.teredo[1]


def make_public_socket(address_info: tuple[Any, ...]) -> socket.socket:
    """Create a socket for a result of getaddrinfo. Raises AddressRefusedError if the address is not public."""
    family, kind, protocol, _, address = address_info
    if not is_public(address[0]):
        raise AddressRefusedError(address[0])
    return socket.socket(family, kind, protocol)


class AllowedHosts:
    """Hosts that may have any address: `HOST` on every port, or `HOST:PORT`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._allowed = {parse_host(name) for name in names}

    def allow(self, host: str, port: int | None) -> bool:
        """Return whether a URL's host and port are allowed."""
        return not self._allowed.isdisjoint({(host.lower(), None), (host.lower(), port)})
