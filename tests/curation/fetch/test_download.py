"""One URL -> a file and its hash: redirects, retries, limits, refusals, and certificates that must hold."""

import asyncio
import datetime
import hashlib
import ipaddress
import itertools
import socket
import ssl
import threading
from collections.abc import Iterator
from email.utils import format_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from curation.fetch import FetchError, TooManyBytesError
from curation.fetch import rate_limits as turns
from curation.fetch.http import MAX_REDIRECTS, USER_AGENT
from curation.fetch.stage import run_downloads
from curation.options import FetchOptions
from tests.curation.fetch.hosts import Host, serve

GIF = b"GIF89a and more"
LIMIT = 1_000_000
pytestmark = pytest.mark.usefixtures("brisk")


def fetch(folder: Path, url: str, max_bytes: int = LIMIT, allow: str = "127.0.0.1", **options: float) -> bytes:
    """Download one URL."""
    chosen = FetchOptions(allow_host=(allow,), **{"rate_per_host": 0, **options})
    path = folder / "arrived"
    sha256 = run_downloads(lambda downloads: downloads.download(url, path), chosen, max_bytes)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    return path.read_bytes()


@pytest.fixture
def host(host: Host) -> Host:
    """A host with one GIF."""
    host.pages["/a.gif"] = GIF
    return host


def test_a_url_gives_its_bytes_and_the_host_sees_who_asks(host: Host, tmp_path: Path) -> None:
    assert fetch(tmp_path, f"{host.url}/a.gif") == GIF
    assert [(asked.path, asked.user_agent) for asked in host.log] == [("/a.gif", USER_AGENT)]
    assert USER_AGENT.startswith("pix2gif-curate/")


def test_the_scheme_of_a_url_may_be_in_capitals(host: Host, tmp_path: Path) -> None:
    assert fetch(tmp_path, f"{host.url}/a.gif".replace("http", "HTTP")) == GIF


def test_without_a_name_to_allow_it_loopback_is_not_connected_to(host: Host, tmp_path: Path) -> None:
    for url in (f"{host.url}/a.gif", f"http://localhost:{host.port}/a.gif"):
        with pytest.raises(FetchError, match="is at a private, loopback, link-local or reserved address; --allow-host"):
            fetch(tmp_path, url, allow="other.example")
    with pytest.raises(FetchError, match="private"):
        fetch(tmp_path, f"{host.url}/a.gif", allow=f"127.0.0.1:{host.port + 1}")
    assert host.log == []
    assert fetch(tmp_path, f"http://localhost:{host.port}/a.gif", allow=f"localhost:{host.port}") == GIF


def test_a_proxy_of_the_environment_is_not_asked(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert fetch(tmp_path, f"{host.url}/a.gif") == GIF
        assert proxy.log == []


def test_redirects_are_followed_up_to_a_number(host: Host, tmp_path: Path) -> None:
    def step(answer, before: int) -> None:
        number = int(answer.path.rpartition("/")[2])
        answer.send(302, Location=f"/step/{number - 1}" if number > 1 else "../a.gif")

    host.answers["step"] = step
    assert fetch(tmp_path, f"{host.url}/step/{MAX_REDIRECTS}") == GIF
    with pytest.raises(FetchError, match=f"more than {MAX_REDIRECTS} redirects"):
        fetch(tmp_path, f"{host.url}/step/{MAX_REDIRECTS + 1}")


@pytest.mark.parametrize(
    "moved_to",
    ["ftp://host/a.gif", "file:///etc/passwd", "http://h:port/", "http://[broken/", "http://" + "a" * 64 + ".com/",
     "//", "http://\xff\xfe/", "javascript:alert(1)", "s3://bucket/key"],
)  # fmt: skip
def test_a_redirect_to_nowhere_is_told(host: Host, tmp_path: Path, moved_to: str) -> None:
    host.answers["moved"] = lambda answer, _: answer.send(302, Location=moved_to)
    with pytest.raises(FetchError, match=r"\w"):
        fetch(tmp_path, f"{host.url}/moved/a.gif")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 304])
def test_an_answer_that_will_stay_is_not_asked_for_again(host: Host, tmp_path: Path, status: int) -> None:
    host.answers["gone"] = lambda answer, _: answer.send(status)
    with pytest.raises(FetchError, match=f"^HTTP {status}( |$)"):
        fetch(tmp_path, f"{host.url}/gone/a.gif")
    assert len(host.log) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_an_answer_that_may_pass_is_asked_for_again(host: Host, tmp_path: Path, status: int) -> None:
    host.answers["busy"] = lambda answer, before: answer.send(*((200, GIF) if before == 2 else (status,)))
    assert fetch(tmp_path, f"{host.url}/busy/a.gif") == GIF
    host.answers["busy"] = lambda answer, _: answer.send(status)
    with pytest.raises(FetchError, match=f"^HTTP {status} .*, 4 times$"):
        fetch(tmp_path, f"{host.url}/busy/b.gif")
    assert host.paths() == ["/busy/a.gif"] * 3 + ["/busy/b.gif"] * 4


def test_what_arrived_in_a_spoiled_try_is_not_kept(host: Host, tmp_path: Path) -> None:
    def cut_once(answer, before: int) -> None:
        answer.close_connection = True
        answer.send(200, GIF if before else b"something else that is longer", Content_Length="15" if before else "99")

    host.answers["cut"] = cut_once
    assert fetch(tmp_path, f"{host.url}/cut/a.gif") == GIF


@pytest.mark.parametrize("asked_for", ["1", "date"])
def test_a_pause_that_a_host_asks_for_is_kept(host: Host, tmp_path: Path, asked_for: str) -> None:
    def wait(answer, before: int) -> None:
        then = format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2), usegmt=True)
        answer.send(*((200, GIF) if before else (429,)), Retry_After=then if asked_for == "date" else asked_for)

    host.answers["wait"] = wait
    assert fetch(tmp_path, f"{host.url}/wait/a.gif") == GIF
    before, after = host.log
    assert after.at_s - before.at_s >= 0.9


@pytest.mark.parametrize("asked_for", ["3600", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_pause_that_is_too_long_ends_it(host: Host, tmp_path: Path, asked_for: str) -> None:
    host.answers["wait"] = lambda answer, _: answer.send(429, Retry_After=asked_for)
    with pytest.raises(FetchError, match="asked to be left alone for more than 600 s"):
        fetch(tmp_path, f"{host.url}/wait/a.gif")
    assert len(host.log) == 1


@pytest.mark.parametrize("asked_for", ["", "soon", "-5", "Fri, 99 Dec 2100", "Mon, 01 Jan 1990 00:00:00 GMT"])
def test_a_pause_that_is_none_is_no_pause(host: Host, tmp_path: Path, asked_for: str) -> None:
    host.answers["wait"] = lambda answer, before: answer.send(
        *((200, GIF) if before else (429,)), Retry_After=asked_for
    )
    assert fetch(tmp_path, f"{host.url}/wait/a.gif") == GIF


def test_a_host_that_does_not_say_how_long_to_wait_gets_pauses_that_double(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "REFUSAL_PAUSE_S", 0.1)
    host.answers["often"] = lambda answer, before: answer.send(*((200, GIF) if before == 3 else (429,)))
    assert fetch(tmp_path, f"{host.url}/often/a.gif") == GIF
    pauses_s = [after.at_s - before.at_s for before, after in itertools.pairwise(host.log)]
    assert [pause_s >= least_s for pause_s, least_s in zip(pauses_s, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


def test_exactly_as_many_bytes_as_the_limit_are_taken(host: Host, tmp_path: Path) -> None:
    assert len(fetch(tmp_path, f"{host.url}/a.gif", 15)) == 15
    with pytest.raises(TooManyBytesError, match="15 bytes, more than the limit of 14"):
        fetch(tmp_path, f"{host.url}/a.gif", 14)


def test_a_host_that_sends_without_end_is_cut_off_at_the_limit(host: Host, tmp_path: Path) -> None:
    host.answers["endless"] = lambda answer, _: answer.send_endless(1024)
    with pytest.raises(TooManyBytesError, match="more bytes than the limit of 1,000,000"):
        fetch(tmp_path, f"{host.url}/endless/a.gif")
    assert host.num_sent < 2**25


def test_encoded_bytes_are_not_asked_for_and_not_decoded(host: Host, tmp_path: Path) -> None:
    host.answers["zip"] = lambda answer, _: answer.send(200, b"\x1f\x8b", Content_Encoding="gzip")
    assert fetch(tmp_path, f"{host.url}/zip/a.gif") == b"\x1f\x8b"


def test_a_connection_that_is_refused_is_told(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match=r"cannot connect to 127\.0\.0\.1: .*, 4 times"):
            fetch(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}/a.gif")


@pytest.mark.parametrize(
    "url",
    ["http://", "http:///a.gif", "http://[broken/a.gif", "http://h:port/a.gif", f"http://{'a' * 64}.com/a",
     "http://ho st/a.gif", "ftp://127.0.0.1/a.gif", "data://a", "://", "file:///etc/passwd", "FILE:///etc/passwd",
     "memory://a", "local:///etc/passwd"],
)  # fmt: skip
def test_a_url_that_is_none_or_of_another_kind_is_told(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match=r"\w"):
        fetch(tmp_path, url)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, signed by nobody but itself, and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "drawn")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "certificate.pem"
    pem = serialization.Encoding.PEM
    path.write_bytes(
        made.public_bytes(pem) + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def secure(certificate: Path) -> Iterator[Host]:
    """A host that speaks TLS."""
    with Host() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.pages["/a.gif"] = GIF
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    secure: Host, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://127.0.0.1:{secure.port}/a.gif"
    with pytest.raises(FetchError, match=r"the certificate of 127\.0\.0\.1 does not hold") as error:
        fetch(tmp_path, url)
    assert "4 times" not in str(error.value)
    assert secure.log == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(tmp_path, url) == GIF


def test_a_full_disk_is_no_fault_of_the_host(host: Host) -> None:
    with pytest.raises(OSError, match="No space left"):
        run_downloads(
            lambda downloads: downloads.download(f"{host.url}/a.gif", Path("/dev/full")),
            FetchOptions(allow_host=("127.0.0.1",)),
            LIMIT,
        )


def test_a_stop_ends_all_downloads_under_way(host: Host, tmp_path: Path) -> None:
    host.answers["stall"] = lambda answer, _: answer.stall()

    async def stop(downloads) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(downloads.download(f"{host.url}/stall/{number}", tmp_path / str(number)))
            while len(host.log) < 3:
                await asyncio.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_downloads(stop, FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0), LIMIT)
