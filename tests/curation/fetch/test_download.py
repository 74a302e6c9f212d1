"""Downloads of one URL: redirects, retries, limits, errors and certificates."""

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

from curation.fetch import FetchError, TooManyBytesError, rate_limits
from curation.fetch.http import MAX_REDIRECTS, USER_AGENT
from curation.fetch.stage import run_downloads
from curation.options import FetchOptions
from tests.web_server import WebServer, serve

GIF = b"GIF89a and more"
LIMIT = 1_000_000
pytestmark = pytest.mark.usefixtures("short_pauses")


def fetch(folder: Path, url: str, max_bytes: int = LIMIT, allow: str = "127.0.0.1", **options: float) -> bytes:
    """Download one URL."""
    chosen = FetchOptions(allow_host=(allow,), **{"rate_per_host": 0, **options})
    path = folder / "download"
    downloaded = run_downloads(lambda downloads: downloads.download(url, path), chosen, max_bytes)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == downloaded.sha256
    return path.read_bytes()


@pytest.fixture
def web_server(web_server: WebServer) -> WebServer:
    """A server with one GIF."""
    web_server.pages["/a.gif"] = GIF
    return web_server


def test_download_writes_the_bytes_and_sends_the_user_agent(web_server: WebServer, tmp_path: Path) -> None:
    assert fetch(tmp_path, f"{web_server.url}/a.gif") == GIF
    assert [(request.path, request.user_agent) for request in web_server.log] == [("/a.gif", USER_AGENT)]
    assert USER_AGENT.startswith("pix2gif-curate/")


def test_scheme_is_case_insensitive(web_server: WebServer, tmp_path: Path) -> None:
    assert fetch(tmp_path, f"{web_server.url}/a.gif".replace("http", "HTTP")) == GIF


def test_metadata_service_is_refused_without_advice(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"is at a private, loopback, link-local or reserved address$"):
        fetch(tmp_path, "http://169.254.169.254/latest/meta-data/")


def test_loopback_is_refused_unless_allowed(web_server: WebServer, tmp_path: Path) -> None:
    for url in (f"{web_server.url}/a.gif", f"http://localhost:{web_server.port}/a.gif"):
        with pytest.raises(FetchError, match="is at a private, loopback, link-local or reserved address; --allow-host"):
            fetch(tmp_path, url, allow="other.example")
    with pytest.raises(FetchError, match="private"):
        fetch(tmp_path, f"{web_server.url}/a.gif", allow=f"127.0.0.1:{web_server.port + 1}")
    assert web_server.log == []
    assert fetch(tmp_path, f"http://localhost:{web_server.port}/a.gif", allow=f"localhost:{web_server.port}") == GIF


def test_proxies_of_the_environment_are_ignored(
    web_server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert fetch(tmp_path, f"{web_server.url}/a.gif") == GIF
        assert proxy.log == []


def test_redirects_are_followed_up_to_the_limit(web_server: WebServer, tmp_path: Path) -> None:
    def step(handler, _: int) -> None:
        number = int(handler.path.rpartition("/")[2])
        handler.send(302, Location=f"/step/{number - 1}" if number > 1 else "../a.gif")

    web_server.handlers["step"] = step
    assert fetch(tmp_path, f"{web_server.url}/step/{MAX_REDIRECTS}") == GIF
    with pytest.raises(FetchError, match=f"more than {MAX_REDIRECTS} redirects"):
        fetch(tmp_path, f"{web_server.url}/step/{MAX_REDIRECTS + 1}")


@pytest.mark.parametrize(
    "moved_to",
    ["ftp://host/a.gif", "file:///etc/passwd", "http://h:port/", "http://[broken/", "http://" + "a" * 64 + ".com/",
     "//", "http://\xff\xfe/", "javascript:alert(1)", "s3://bucket/key"],
)  # fmt: skip
def test_invalid_redirect_target_fails(web_server: WebServer, tmp_path: Path, moved_to: str) -> None:
    web_server.handlers["moved"] = lambda handler, _: handler.send(302, Location=moved_to)
    with pytest.raises(FetchError, match=r"\w"):
        fetch(tmp_path, f"{web_server.url}/moved/a.gif")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 304])
def test_permanent_status_is_not_retried(web_server: WebServer, tmp_path: Path, status: int) -> None:
    web_server.handlers["gone"] = lambda handler, _: handler.send(status)
    with pytest.raises(FetchError, match=f"^HTTP {status}( |$)"):
        fetch(tmp_path, f"{web_server.url}/gone/a.gif")
    assert len(web_server.log) == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_transient_status_is_retried(web_server: WebServer, tmp_path: Path, status: int) -> None:
    web_server.handlers["busy"] = lambda handler, earlier: handler.send(*((200, GIF) if earlier == 2 else (status,)))
    assert fetch(tmp_path, f"{web_server.url}/busy/a.gif") == GIF
    web_server.handlers["busy"] = lambda handler, _: handler.send(status)
    with pytest.raises(FetchError, match=f"^HTTP {status} .*, 4 times$"):
        fetch(tmp_path, f"{web_server.url}/busy/b.gif")
    assert web_server.paths() == ["/busy/a.gif"] * 3 + ["/busy/b.gif"] * 4


def test_bytes_of_a_failed_attempt_are_discarded(web_server: WebServer, tmp_path: Path) -> None:
    def cut_once(handler, earlier: int) -> None:
        handler.close_connection = True
        handler.send(
            200, GIF if earlier else b"something else that is longer", Content_Length="15" if earlier else "99"
        )

    web_server.handlers["cut"] = cut_once
    assert fetch(tmp_path, f"{web_server.url}/cut/a.gif") == GIF


@pytest.mark.parametrize("asked_for", ["1", "date"])
def test_retry_after_is_obeyed(web_server: WebServer, tmp_path: Path, asked_for: str) -> None:
    def wait(handler, earlier: int) -> None:
        then = format_datetime(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2), usegmt=True)
        handler.send(*((200, GIF) if earlier else (429,)), Retry_After=then if asked_for == "date" else asked_for)

    web_server.handlers["wait"] = wait
    assert fetch(tmp_path, f"{web_server.url}/wait/a.gif") == GIF
    before, after = web_server.log
    assert after.at_s - before.at_s >= 0.9


@pytest.mark.parametrize("asked_for", ["3600", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_too_long_retry_after_fails_at_once(web_server: WebServer, tmp_path: Path, asked_for: str) -> None:
    web_server.handlers["wait"] = lambda handler, _: handler.send(429, Retry_After=asked_for)
    with pytest.raises(FetchError, match="asked for a pause of more than 600 s"):
        fetch(tmp_path, f"{web_server.url}/wait/a.gif")
    assert len(web_server.log) == 1


@pytest.mark.parametrize("asked_for", ["", "soon", "-5", "Fri, 99 Dec 2100", "Mon, 01 Jan 1990 00:00:00 GMT"])
def test_invalid_retry_after_is_ignored(web_server: WebServer, tmp_path: Path, asked_for: str) -> None:
    web_server.handlers["wait"] = lambda handler, earlier: handler.send(
        *((200, GIF) if earlier else (429,)), Retry_After=asked_for
    )
    assert fetch(tmp_path, f"{web_server.url}/wait/a.gif") == GIF


def test_pauses_double_after_429_without_retry_after(
    web_server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "REFUSAL_PAUSE_S", 0.1)
    web_server.handlers["often"] = lambda handler, earlier: handler.send(*((200, GIF) if earlier == 3 else (429,)))
    assert fetch(tmp_path, f"{web_server.url}/often/a.gif") == GIF
    pauses_s = [after.at_s - before.at_s for before, after in itertools.pairwise(web_server.log)]
    assert [pause_s >= least_s for pause_s, least_s in zip(pauses_s, (0.1, 0.2, 0.4), strict=True)] == [True] * 3


def test_max_bytes_is_inclusive(web_server: WebServer, tmp_path: Path) -> None:
    assert len(fetch(tmp_path, f"{web_server.url}/a.gif", 15)) == 15
    with pytest.raises(TooManyBytesError, match="15 bytes, more than the limit of 14"):
        fetch(tmp_path, f"{web_server.url}/a.gif", 14)


def test_endless_response_is_cut_off_at_the_limit(web_server: WebServer, tmp_path: Path) -> None:
    web_server.handlers["endless"] = lambda handler, _: handler.send_endless(1024)
    with pytest.raises(TooManyBytesError, match="more bytes than the limit of 1,000,000"):
        fetch(tmp_path, f"{web_server.url}/endless/a.gif")
    assert web_server.num_sent < 2**25


def test_compressed_response_is_not_decompressed(web_server: WebServer, tmp_path: Path) -> None:
    web_server.handlers["zip"] = lambda handler, _: handler.send(200, b"\x1f\x8b", Content_Encoding="gzip")
    assert fetch(tmp_path, f"{web_server.url}/zip/a.gif") == b"\x1f\x8b"


def test_refused_connection_fails_after_retries(tmp_path: Path) -> None:
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
def test_invalid_url_or_scheme_fails(tmp_path: Path, url: str) -> None:
    with pytest.raises(FetchError, match=r"\w"):
        fetch(tmp_path, url)


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for 127.0.0.1 and its key in one file."""
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
def tls_server(certificate: Path) -> Iterator[WebServer]:
    """A server with TLS."""
    with WebServer() as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.pages["/a.gif"] = GIF
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_untrusted_certificate_is_refused_without_retry(
    tls_server: WebServer, tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"https://127.0.0.1:{tls_server.port}/a.gif"
    with pytest.raises(FetchError, match=r"the certificate of 127\.0\.0\.1 is not valid") as error:
        fetch(tmp_path, url)
    assert "4 times" not in str(error.value)
    assert tls_server.log == []
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(tmp_path, url) == GIF


def test_full_disk_raises_os_error(web_server: WebServer) -> None:
    with pytest.raises(OSError, match="No space left"):
        run_downloads(
            lambda downloads: downloads.download(f"{web_server.url}/a.gif", Path("/dev/full")),
            FetchOptions(allow_host=("127.0.0.1",)),
            LIMIT,
        )


def test_interrupt_cancels_all_downloads(web_server: WebServer, tmp_path: Path) -> None:
    web_server.handlers["stall"] = lambda handler, _: handler.stall()

    async def stop(downloads) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(downloads.download(f"{web_server.url}/stall/{number}", tmp_path / str(number)))
            while len(web_server.log) < 3:
                await asyncio.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_downloads(stop, FetchOptions(allow_host=("127.0.0.1",), rate_per_host=0), LIMIT)
