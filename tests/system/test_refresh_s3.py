"""Lock, students and pointer of a refresh in a real S3 server."""

from __future__ import annotations

import json

import pytest

from tests.harness.s3_server import KEYS, Proxy, weed

pytest.importorskip("obstore")

from xner_ray.errors import UserError
from xner_ray.storage.lock import Lock
from xner_ray.storage.object_store import ObjectStore
from xner_ray.workflows.refresh.model_registry import ModelRegistry

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(weed() is None, reason="the test server is not installed"),
]
SECONDS = 3.0


@pytest.fixture
def proxy(server, monkeypatch):
    """Between us and the server; it can lose a reply."""
    between = Proxy(server.port)
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": between.url}.items():
        monkeypatch.setenv(key, value)
    return between


@pytest.fixture
def store(proxy, request):
    return ObjectStore(f"s3://bucket/{request.node.name}")


def test_the_lease(store):
    with Lock(store, SECONDS, name="refresh") as lease:
        with pytest.raises(UserError, match="another refresh is running"):
            Lock(store, SECONDS, name="refresh").__enter__()
        lease.check()
    dead = Lock(store, SECONDS, name="refresh")
    dead.__enter__()
    dead._released.set()  # its heartbeat stops
    with Lock(store, SECONDS, name="refresh") as lease:
        assert lease.number == 3
        with pytest.raises(UserError, match="refresh 2 lost its lock"):
            dead.check()
        lease.check()


def test_a_claim_whose_reply_got_lost_is_ours(store, proxy):
    proxy.lose = b"lock/000001.json"
    with Lock(store, SECONDS, name="refresh") as lease:
        assert lease.number == 1 and proxy.mishaps == 1
        lease.check()


def test_the_shelf(store, tmp_path):
    shelf, model = ModelRegistry(store), tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(bytes(12 << 20))  # more than one part
    for number in (1, 2, 3):
        (model / "config.json").write_text(str(number))
        paths = shelf.upload(number, {"de": model})
        shelf.commit(number, {"students": {"de": {"path": paths["de"]}}})
        told = json.loads(store.read("current.json"))
        assert told["version"] == number
        assert store.read(f"{told['students']['de']['path']}/config.json") == str(number).encode()
    assert len(store.read("students/000003/de/model.safetensors")) == 12 << 20
    assert shelf.keep(2, 4) == [1] and shelf.versions() == [2, 3]
    assert not store.list("students/000001/de") and store.list("students/000002/de")
