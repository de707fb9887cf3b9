"""The lock and the model registry of a refresh on a real S3 server."""

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
    """A proxy of the server, which can lose a reply."""
    proxy = Proxy(server.port)
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": proxy.url}.items():
        monkeypatch.setenv(key, value)
    return proxy


@pytest.fixture
def store(proxy, request):
    return ObjectStore(f"s3://bucket/{request.node.name}")


def test_lock_is_exclusive_and_a_stale_one_is_replaced(store):
    with Lock(store, SECONDS, name="refresh") as lock:
        with pytest.raises(UserError, match="another refresh is running"):
            Lock(store, SECONDS, name="refresh").__enter__()
        lock.check()
    dead = Lock(store, SECONDS, name="refresh")
    dead.__enter__()
    dead._released.set()  # this stops its heartbeat
    with Lock(store, SECONDS, name="refresh") as lock:
        assert lock.number == 3
        with pytest.raises(UserError, match="refresh 2 lost its lock"):
            dead.check()
        lock.check()


def test_lock_with_a_lost_reply_is_acquired(store, proxy):
    proxy.lose = b"lock/000001.json"
    with Lock(store, SECONDS, name="refresh") as lock:
        assert lock.number == 1 and proxy.mishaps == 1
        lock.check()


def test_registry_commits_versions_and_deletes_old_ones(store, tmp_path):
    registry, model = ModelRegistry(store), tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(bytes(12 << 20))  # more than one part
    for number in (1, 2, 3):
        (model / "config.json").write_text(str(number))
        paths = registry.upload(number, {"de": model})
        registry.commit(number, {"students": {"de": {"path": paths["de"]}}})
        current = json.loads(store.read("current.json"))
        assert current["version"] == number
        assert store.read(f"{current['students']['de']['path']}/config.json") == str(number).encode()
    assert len(store.read("students/000003/de/model.safetensors")) == 12 << 20
    assert registry.delete_old_versions(2, 4) == [1] and registry.versions() == [2, 3]
    assert not store.list("students/000001/de") and store.list("students/000002/de")
