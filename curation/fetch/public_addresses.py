"""Which addresses may be connected to: those of the public internet, and what the user named.

A listing may come from anybody, and so may a redirect: neither may reach what only this machine or its network can
see, such as a cloud's metadata service. The check is made on the address that is connected to, when it is: a name
that is looked up again can mean another address.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterable, Iterator
from typing import Any

from curation.config_checks import parse_host

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Stands for IPv4 where a network has none (RFC 6052); it counts as reserved, but leads to what is wrapped in it."""
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(OSError):
    """An address that is not of the public internet. The message is one for all, so that several addresses agree."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "a private, loopback, link-local or reserved address")


def is_public(address: str) -> bool:
    """Tell whether an address is of the public internet, and so are those that are wrapped in it."""
    try:
        outer = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_public, _reached(outer)))


def _is_public(address: Address) -> bool:
    site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return address.is_global and not (address.is_multicast or address.is_reserved or site_local)


def _reached(address: Address) -> Iterator[Address]:
    """Yield the addresses that a packet to this one may end up at."""
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
    """Make a socket for one result of getaddrinfo. Raises AddressRefusedError where its address is not public."""
    family, kind, protocol, _, address = address_info
    if not is_public(address[0]):
        raise AddressRefusedError
    return socket.socket(family, kind, protocol)


class AllowedHosts:
    """Hosts that may be fetched from whatever their addresses are: `HOST` with any port, or `HOST:PORT`."""

    def __init__(self, names: Iterable[str]) -> None:
        self._allowed = {parse_host(name) for name in names}

    def allow(self, host: str, port: int | None) -> bool:
        """Tell whether a host, as a URL names it, is among them."""
        return not self._allowed.isdisjoint({(host.lower(), None), (host.lower(), port)})
