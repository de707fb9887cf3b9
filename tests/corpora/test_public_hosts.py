"""Requests go to public addresses over HTTP only, and no server sends more than it announced."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import requests

from tests.harness.corpus_files import config, good_moses
from tests.harness.opus_server import Fault, serving
from xner_ray.corpora import public_hosts
from xner_ray.corpora.ingest import ingest
from xner_ray.corpora.opus.catalog import Archive, open_catalog
from xner_ray.corpora.opus.download import HttpClient, ProgressListener, RetryPolicy
from xner_ray.corpora.opus.fetch import fetch_archive, plan_fetch
from xner_ray.corpora.public_hosts import KEY, is_public, public_session
from xner_ray.errors import UserError

FAST = RetryPolicy(connect_timeout=2, read_timeout=2, max_tries=2, first_pause=0.01, max_pause=0.05)
LISTENER = ProgressListener()


@pytest.fixture
def site(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with serving() as served:
        served.files["/f"] = b"text" * 1000
        yield served


@pytest.fixture
def only_this_port_is_public(site, monkeypatch):
    """The server's port of loopback stands for a public server, and the rest of loopback for a private network."""
    port = int(site.url.rpartition(":")[2])

    def checked(connection: socket.socket, host: str) -> socket.socket:
        return connection if connection.getpeername()[1] == port else real(connection, host)

    real = public_hosts._checked
    monkeypatch.setattr(public_hosts, "_checked", checked)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *((x, False) for x in ("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1")),
        *((x, False) for x in ("0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1%eth0")),
        *((x, False) for x in ("fd00::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "ff02::1")),
        *((x, True) for x in ("8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808")),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) == public


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "2130706433", "127.1", "[::ffff:127.0.0.1]"])
def test_a_private_address_is_an_error_before_anything_is_sent(site, tmp_path, host):
    """By number, by name, and in spellings that only the resolver of the system knows."""
    url = site.url.replace("127.0.0.1", host) + "/f"
    with HttpClient(FAST) as http:
        for request in (lambda: http.head(url, LISTENER), lambda: http.download(url, tmp_path / "f", LISTENER)):
            with pytest.raises(UserError) as error:
                request()
            assert error.value.key == KEY and error.value.file == url and f"{KEY}: true" in error.value.remedy
    assert not site.requests
    with HttpClient(FAST, allow_private_hosts=True) as http:
        assert http.head(f"{site.url}/f", LISTENER).size == 4000


def test_the_online_index_and_corpora_at_a_url_are_checked_too(site, tmp_path):
    with pytest.raises(UserError) as error:
        open_catalog("api", f"{site.url}/api").archives("en", "de")
    assert error.value.key == KEY
    site.files["/a.zip"] = good_moses(tmp_path / "a.zip").read_bytes()
    corpora = [{"name": "A", "format": "moses", "path": f"{site.url}/a.zip"}]
    with pytest.raises(UserError) as error:
        ingest(config(corpora), "de", tmp_path / "shards")
    assert error.value.key == KEY and error.value.file == f"{site.url}/a.zip"
    assert not site.requests
    allowed = config(corpora, allow_private_hosts=True)
    assert ingest(allowed, "de", tmp_path / "shards").rows == 40
    assert allowed.ingest.fingerprint() == config(corpora).ingest.fingerprint()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_redirect_to_a_private_address_is_an_error(site, tmp_path, only_this_port_is_public, host):
    with (
        socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as internal,
        HttpClient(FAST) as http,
    ):
        site.faults = [Fault(redirect=f"http://{host}:{internal.getsockname()[1]}/secret")]
        with pytest.raises(UserError, match="private") as error:
            http.download(f"{site.url}/f", tmp_path / "f.part", LISTENER)
        internal.settimeout(5)
        connection = internal.accept()[0]
        connection.settimeout(5)
        assert connection.recv(100) == b"", "no request was sent"
    assert error.value.key == KEY


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://example.org/f", "gopher://example.org:70/x", "data:,x"]
)
def test_a_redirect_to_another_scheme_is_an_error(site, tmp_path, target):
    with HttpClient(FAST, allow_private_hosts=True) as http:
        site.faults = [Fault(redirect=target)]
        with pytest.raises(UserError, match="not an HTTP address") as error:
            http.download(f"{site.url}/f", tmp_path / "f.part", LISTENER)
    assert error.value.file == f"{site.url}/f" and len(site.requests) == 1


def test_names_are_checked_before_a_proxy_resolves_them(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    for url in ("http://localhost.localdomain:9/", "http://169.254.169.254/latest/meta-data"):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [(2, 1, 6, "", ("169.254.169.254", 0))])
        with pytest.raises(public_hosts.PrivateAddressError):
            public_session(False).get(url)


def archive(size: int | None) -> Archive:
    return Archive("A", "v1", "en", "de", "moses", "http://h/OPUS-A/v1/moses/de-en.txt.zip", size, 1, True)


@pytest.mark.parametrize("head", [True, False])
def test_a_server_cannot_send_more_than_it_announced(site, tmp_path, head):
    """HEAD promised a size, or the catalog has one, and the response has no length and no end."""
    data = good_moses(tmp_path / "a.zip").read_bytes()
    site.files, site.head, site.faults = {"/A/v1/moses/de-en.txt.zip": data}, head, [Fault(endless=True)] * 9
    with HttpClient(FAST, allow_private_hosts=True) as http:
        item = plan_fetch(archive(len(data)), tmp_path / "out", site.url, http, LISTENER)
        with pytest.raises(UserError, match="more than the") as error:
            fetch_archive(item, http, LISTENER, "here")
        assert error.value.file == item.url and item.part.stat().st_size == 0
        site.faults.clear()
        item = plan_fetch(archive(len(data)), tmp_path / "out", site.url, http, LISTENER)
        assert fetch_archive(item, http, LISTENER, "here")["bytes"] == len(data)  # the remedy: run it again


def test_an_endless_answer_of_the_index_is_an_error(site, monkeypatch):
    monkeypatch.setattr("xner_ray.corpora.opus.opus_index._MAX_RESPONSE_BYTES", 100_000)
    site.files["/f?corpora=True"], site.faults = b"x" * 1000, [Fault(endless=True)]
    with pytest.raises(UserError, match="more than 100,000 bytes"):
        open_catalog("api", f"{site.url}/f", allow_private_hosts=True).index.corpora()


def test_requests_has_one_door():
    """Nothing makes a session or a request of its own."""
    package = Path(public_hosts.__file__).parents[1]
    found = [
        file.relative_to(package).as_posix()
        for file in sorted(package.rglob("*.py"))
        if any(x in file.read_text() for x in ("requests.get(", "requests.Session(", "urlopen(", "fsspec.open("))
    ]
    assert found == ["corpora/public_hosts.py", "corpora/readers/archive.py"]
    assert requests.Session  # the name that the check looks for
