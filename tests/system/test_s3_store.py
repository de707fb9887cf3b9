"""The commit protocol on a real S3 server: kills at each step, races, lost replies, cut requests and restarts of the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.harness.s3_server import KEYS, Proxy, weed
from xner_ray.errors import UserError
from xner_ray.storage import manifest_packs
from xner_ray.storage.object_store import open_object_store
from xner_ray.storage.shard_store import ShardStore

pytest.importorskip("obstore")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(weed() is None, reason="the test server is not installed")]
FAILPOINTS = ["data.opened", "data.named", "manifest.opened", "manifest.named"]
WRITER = """
import sys, pyarrow as pa
from xner_ray.storage.shard_store import ShardStore
first = int(sys.argv[2])
made = ShardStore(sys.argv[1]).commit("s-1", pa.table({"n": pa.array(range(first, first + 5000), pa.int64())}), "in")
print(made.to_json(), end="")
"""


@pytest.fixture
def root(server, monkeypatch, request):
    for key, value in {**KEYS, "AWS_ENDPOINT_URL": server.url}.items():
        monkeypatch.setenv(key, value)
    open_object_store.cache_clear()
    yield f"s3://bucket/{request.node.name.translate(str.maketrans('[].', '---'))}"
    open_object_store.cache_clear()


def numbers(first: int = 0) -> pa.Table:
    return pa.table({"n": pa.array(range(first, first + 5000), pa.int64())})


def writer(root: str, failpoint: str = "", first: int = 0) -> subprocess.Popen:
    env = {**os.environ, "XNER_FAILPOINT": failpoint, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, root, str(first)], env=env, stdout=subprocess.PIPE, text=True
    )


def objects(store: ShardStore) -> list[str]:
    return sorted([*store.blobs.list(), *store.blobs.list("manifest")])


def test_store_passes_the_probe(root):
    store = ShardStore(root)
    store.probe()
    assert objects(store) == []


@pytest.mark.parametrize("failpoint", FAILPOINTS)
def test_kill_at_each_step_then_commit_again(root, failpoint):
    child = writer(root, failpoint)
    assert child.wait(120) == -signal.SIGKILL
    store = ShardStore(root)
    committed = failpoint == "manifest.named"
    assert store.missing({"s-1": "in"}) == ([] if committed else ["s-1"])
    made = store.commit("s-1", numbers(), "in")
    assert store.read("s-1", verify=True).equals(numbers())
    store.sweep(0)
    assert objects(store) == sorted([made.file, "manifest/s-1.json"])


def test_concurrent_writers_return_the_same_manifest(root):
    children = [writer(root, first=i) for i in range(3)]
    manifests = {child.communicate(timeout=180)[0] for child in children}
    assert len(manifests) == 1
    store = ShardStore(root)
    table = store.read("s-1", verify=True)
    assert table.equals(numbers(table["n"][0].as_py()))
    assert objects(store) == sorted([store.manifest("s-1").file, "manifest/s-1.json"])


@pytest.mark.parametrize("part", ["data", "manifest"])
@pytest.mark.parametrize("mishap", ["lose", "cut"])
def test_lost_reply_or_cut_request_changes_nothing(server, root, monkeypatch, part, mishap):
    proxy = Proxy(server.port)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
    store = ShardStore(root)
    store.probe()
    prefix = root.removeprefix("s3://")
    setattr(proxy, mishap, f"PUT /{prefix}/{'s-1.' if part == 'data' else 'manifest/'}".encode())
    made = store.commit("s-1", numbers(), "in")
    assert proxy.mishaps == 1
    assert store.manifest("s-1") == made
    assert store.read("s-1", verify=True).equals(numbers())
    assert objects(store) == sorted([made.file, "manifest/s-1.json"])


def test_server_restart_between_data_and_manifest_changes_nothing(server, root):
    child = writer(root, "manifest.opened:stop")
    while not ShardStore(root).blobs.list():
        time.sleep(0.2)
    server.stop()
    os.kill(child.pid, signal.SIGCONT)
    restart = threading.Timer(2, server.start)
    restart.start()
    out, _ = child.communicate(timeout=240)
    restart.join()
    assert child.returncode == 0 and out
    assert ShardStore(root).read("s-1", verify=True).equals(numbers())


def test_wrong_keys_are_an_error(root, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UserError, match="refuses access") as e:
        ShardStore(root).commit("s-1", numbers(), "in")
    assert "AWS_SECRET_ACCESS_KEY" in e.value.remedy


def test_packed_manifests_are_read_from_their_pack_until_they_are_replaced(root, monkeypatch):
    monkeypatch.setattr(manifest_packs, "MIN_LOOSE", 2)
    store = ShardStore(root)
    made = {name: store.commit(name, numbers(), "in") for name in ("s-1", "s-2", "s-3")}
    store.pack(store.committed())
    listed = store.committed()
    assert listed == made and listed.num_loose == 0
    store.uncommit("s-2")
    made["s-2"] = store.commit("s-2", numbers(1), "in")
    assert store.committed() == made and store.committed().num_loose == 1
    (pack,) = store.blobs.list(manifest_packs.FOLDER)
    store.blobs.delete(pack)
    assert store.committed() == made and store.committed().num_loose == 3
