"""Only addresses of the public internet may be connected to, however they are written or wrapped."""

import socket

import pytest

from curation.config_checks import parse_host
from curation.fetch.public_addresses import AddressRefusedError, AllowedHosts, is_public, make_public_socket

PUBLIC = [
    "1.1.1.1",
    "93.184.216.34",
    "2606:4700::1111",
    "2001:4860:4860::8888",
    "2002:0101:0101::1",
    "64:ff9b::101:101",
]
REFUSED = {
    "127.0.0.1": "loopback",
    "127.8.9.10": "loopback too",
    "0.0.0.0": "this machine",  # noqa: S104
    "10.1.2.3": "private",
    "172.16.0.1": "private",
    "192.168.1.1": "private",
    "169.254.169.254": "a cloud's metadata",
    "100.64.0.1": "a carrier's own",
    "192.0.2.1": "for documentation",
    "198.18.0.1": "for benchmarks",
    "224.0.0.1": "multicast",
    "240.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::1": "loopback",
    "::": "this machine",
    "::7f00:1": "loopback, in a form that is no longer used",
    "::ffff:127.0.0.1": "loopback, mapped",
    "::ffff:169.254.169.254": "metadata, mapped",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local of one link",
    "fec0::1": "site-local",
    "fd00:ec2::254": "a cloud's metadata",
    "ff02::1": "multicast",
    "2001:db8::1": "for documentation",
    "2002:7f00:0001::1": "loopback, through 6to4",
    "2001:0:4136:e378:8000:63bf:80ff:fffe": "loopback, through Teredo",
    "64:ff9b::7f00:1": "loopback, through NAT64",
    "64:ff9b::a9fe:a9fe": "metadata, through NAT64",
    "not an address": "nothing",
}


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with make_public_socket((family, socket.SOCK_STREAM, 0, "", (address, 80))) as made:
        assert made.family == family


@pytest.mark.parametrize("address", REFUSED)
def test_other_addresses_are_refused(address: str) -> None:
    assert not is_public(address)
    with pytest.raises(AddressRefusedError, match="a private, loopback, link-local or reserved address"):
        make_public_socket((socket.AF_INET6, socket.SOCK_STREAM, 0, "", (address, 80)))


@pytest.mark.parametrize(
    ("address", "may_be_allowed"),
    [
        ("127.0.0.1", True),
        ("192.168.1.1", True),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("fe80::1%1", False),
    ],
)
def test_metadata_services_are_not_advised(address: str, may_be_allowed: bool) -> None:
    assert AddressRefusedError(address).may_be_allowed is may_be_allowed


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("host", ("host", None)),
        ("Host.Example:8080", ("host.example", 8080)),
        ("10.0.0.1", ("10.0.0.1", None)),
        ("[::1]:80", ("::1", 80)),
        ("[::1]", ("::1", None)),
        ("::1", ("::1", None)),
    ],
)
def test_parse_host_accepts_host_with_and_without_port(text: str, parsed: tuple[str, int | None]) -> None:
    assert parse_host(text) == parsed


@pytest.mark.parametrize(
    "text",
    ["", ":80", "host:", "host:port", "host:0", "host:65536", "[::1", "[::1]80", "http://host", "a b", "user@host"],
)
def test_parse_host_refuses_invalid_hosts(text: str) -> None:
    with pytest.raises(ValueError, match="not a host"):
        parse_host(text)


def test_allowed_hosts_match_host_and_port() -> None:
    allowed = AllowedHosts(["Local", "intranet:8080", "[::1]:80"])
    assert allowed.allow("local", 1)
    assert allowed.allow("LOCAL", 2)
    assert allowed.allow("intranet", 8080)
    assert allowed.allow("::1", 80)
    assert not allowed.allow("intranet", 80)
    assert not allowed.allow("::1", 81)
    assert not allowed.allow("sub.local", 1)
    assert not AllowedHosts([]).allow("local", 1)
