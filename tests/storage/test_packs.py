"""Packed manifests: a listing is the same with and without packs, whatever happened to them."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from tests.harness.counting_store import manifest, memory_store, shard_store, write_history, write_manifests
from xner_ray.storage import manifest_packs
from xner_ray.storage.manifest import manifest_file
from xner_ray.storage.manifest_packs import FOLDER
from xner_ray.storage.manifest_table import SCHEMA, Manifests
from xner_ray.storage.shard_store import ShardStore

PLACES = ["disk", "objects"]


@pytest.fixture(autouse=True)
def _small_packs(monkeypatch):
    monkeypatch.setattr(manifest_packs, "MIN_LOOSE", 4)


def opened(place, tmp_path, history=0):
    store, calls = shard_store(tmp_path / str(history) if place == "disk" else None)
    write_history(store, history)
    return store, calls


@pytest.mark.parametrize("place", PLACES)
def test_a_listing_reads_packs_and_the_manifests_since_then(tmp_path, place):
    store, calls = opened(place, tmp_path, 10)
    made = store.commit("de-new", pa.table({"n": [1]}), "in")
    calls.clear()
    listed = store.committed()
    assert calls["read"] == 2 and listed.num_loose == 1  # one pack, one manifest
    assert listed == {**{f"de-shard-{i:06d}": manifest(i) for i in range(10)}, "de-new": made}
    assert list(listed) == sorted(listed) and list(listed.objects()) == list(listed.values())
    assert listed.select(["de-new", "other"]) == {"de-new": made}


@pytest.mark.parametrize("place", PLACES)
def test_a_deleted_or_replaced_manifest_is_never_taken_from_a_pack(tmp_path, place):
    store, _ = opened(place, tmp_path, 10)
    store.blobs.delete(manifest_file("de-shard-000001"))  # by hand
    store.uncommit("de-shard-000002")
    before = store.committed()
    assert len(before) == 8 and store.missing({"de-shard-000001": "x"}) == ["de-shard-000001"]
    made = store.commit("de-shard-000002", pa.table({"n": [1]}), "another input")
    assert store.committed()["de-shard-000002"] == made == store.committed(before)["de-shard-000002"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("damage", ["bit", "half", "gone", "other"])
def test_a_pack_that_is_damaged_or_gone_is_made_again(tmp_path, place, damage, caplog):
    store, calls = opened(place, tmp_path, 10)
    (name,) = store.blobs.list(FOLDER)
    data, expected = store.blobs.read(name), store.committed()
    if damage == "gone":
        store.blobs.delete(name)
    elif damage == "other":
        store.blobs.write(f"{FOLDER}/{'0' * 32}.pack", data)
        store.blobs.delete(name)
    else:
        store.blobs.write(name, data[:-9] if damage == "half" else bytes([data[0] ^ 1]) + data[1:])
    listed = store.committed()
    assert listed == expected and listed.num_loose == 10
    assert ("is damaged" in caplog.text) == (damage != "gone")
    store.pack(listed)
    assert list(store.blobs.list(FOLDER)) == [name]
    calls.clear()
    assert store.committed() == expected and calls["read"] == 1


def test_packs_merge_so_that_there_are_few(tmp_path):
    store, _ = opened("objects", tmp_path)
    for i in range(300):
        made = manifest(i)
        store.blobs.write(manifest_file(made.shard), made.to_json().encode())
        store.pack(store.committed())
    listed = store.committed()
    assert len(listed) == 300 and listed.num_loose < 4 and len(store.blobs.list(FOLDER)) <= 6


def test_two_drivers_pack_at_the_same_time(tmp_path):
    store, _ = opened("disk", tmp_path, 10)
    root = tmp_path / "10"
    write_manifests(root, range(10, 20))
    first, second = ShardStore(root).committed(), ShardStore(root).committed()
    write_manifests(root, [20])
    third = ShardStore(root).committed()
    for listed in (first, third, second):
        store.pack(listed)
    assert store.committed() == {manifest(i).shard: manifest(i) for i in range(21)}


STEPS = ["half", "synced", "named"]
PACK = """
import sys
from xner_ray.storage import manifest_packs
from xner_ray.storage.shard_store import ShardStore
manifest_packs.MIN_LOOSE = 4
store = ShardStore(sys.argv[1])
store.pack(store.committed())
"""


def test_a_driver_killed_while_it_packs_loses_and_doubles_nothing(tmp_path):
    store, _ = opened("disk", tmp_path, 10)
    root = tmp_path / "10"
    for at, step in enumerate(STEPS):
        write_manifests(root, range(10 + 4 * at, 14 + 4 * at))
        expected = {manifest(i).shard: manifest(i) for i in range(14 + 4 * at)}
        killed = subprocess.run(
            [sys.executable, "-c", PACK, str(root)], env={**os.environ, "XNER_FAILPOINT": f"pack.{step}"}
        )
        assert killed.returncode == -9
        assert store.committed() == expected
    subprocess.run([sys.executable, "-c", PACK, str(root)], check=True)
    assert store.committed() == expected and store.committed().num_loose == 0
    store.sweep(0)
    assert not [name for name in store.blobs.list(FOLDER) if name.endswith(".tmp")]


@pytest.mark.parametrize("place", PLACES)
def test_a_store_costs_the_same_whatever_its_history(tmp_path, place):
    counts = []
    for history in (10, 100, 1000):
        store, calls = opened(place, tmp_path, history)
        calls.clear()
        listing = store.listing()
        assert len(listing.manifests) == history and not listing.damaged
        store.commit("de-new", pa.table({"n": [1]}), "in")
        assert "de-new" in store.committed(listing.manifests)
        store.sweep(listing=listing)
        counts.append(dict(calls))
    assert counts[0] == counts[1] == counts[2] and sum(counts[0].values()) < 25


def test_250_000_manifests_are_listed_in_less_than_10_seconds(tmp_path):
    blobs, store = memory_store(), ShardStore(tmp_path)
    store.blobs = blobs
    text = manifest(0).to_json().encode()
    for i in range(250_000):
        blobs._store.put(manifest_file(f"de-shard-{i:06d}"), text)
    row = {"attempt": "0" * 16, "rows": 9, "size": 9, "sha256": "0" * 64, "input_hash": "in", "extra": "{}"}
    stamps = {name[len("manifest/") : -len(".json")]: e.stamp for name, e in blobs.entries("manifest").items()}
    columns = {"shard": list(stamps), "stamp": list(stamps.values())}
    table = pa.table(columns | {key: [value] * len(stamps) for key, value in row.items()})
    store.pack(Manifests(table.select(SCHEMA.names).cast(SCHEMA), 250_000))
    start = time.process_time()  # other processes may hold the cores
    listed = store.committed()
    inputs = listed.by_shard("input_hash")
    assert time.process_time() - start < 10
    assert len(listed) == len(inputs) == 250_000 and listed.num_loose == 0
