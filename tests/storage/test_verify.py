"""A changed bit is noticed: the same data is read, or an error names the file, the shard and a remedy."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from xner_ray.errors import UserError
from xner_ray.storage.shard_store import Manifest, ShardStore, parquet_bytes
from xner_ray.storage.verify import (
    check_file,
    damage_note,
    dump_checked,
    hash_file,
    load_array,
    load_checked,
    read_table,
    save_array,
)


def pairs(rows: int = 300) -> pa.Table:
    """Rows whose file has all regions of a shard: dictionaries, lists, statistics, several pages."""
    numbers = range(rows)
    return pa.table(
        {
            "corpus": ["a", "b", "a"] * (rows // 3),
            "pair_id": pa.array(numbers, pa.int64()),
            "source": [f"passport {i} of Ms. Weiß" for i in numbers],
            "entities": [[{"start": i, "end": i + 1, "type": "PER", "score": 0.5}] * (i % 3) for i in numbers],
        }
    )


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def bits(data: bytes, number: int = 400) -> list[int]:
    """Bits of every region: as many of the first and the last KiB, where headers and footer are, as of the rest."""
    drawn, size = random.Random(7), 8 * len(data)
    edges = [drawn.randrange(8 * 1024) for _ in range(number // 4)] + [
        size - 1 - drawn.randrange(8 * 1024) for _ in range(number // 4)
    ]
    return edges + [drawn.randrange(size) for _ in range(number - len(edges))]


def error_of(read: Callable[[], object], expected: object) -> UserError | None:
    """The error of a read that does not give what is expected."""
    try:
        assert read() == expected
    except UserError as e:
        return e
    return None


def test_no_changed_bit_of_a_committed_shard_gives_other_rows(tmp_path):
    store, table = ShardStore(tmp_path), pairs()
    path = tmp_path / store.commit("de-1", table, "in").file
    data = path.read_bytes()
    for bit in bits(data):
        path.write_bytes(flipped(data, bit))
        for read in (lambda: store.read("de-1"), lambda: store.files(["de-1"])):
            with pytest.raises(UserError) as e:
                read()
            assert (e.value.file, e.value.key) == (str(path), "de-1") and "xner run" in e.value.remedy
    path.write_bytes(data)
    assert store.read("de-1").equals(table)


def test_no_changed_bit_of_a_manifest_gives_another_manifest(tmp_path):
    store = ShardStore(tmp_path)
    manifest = store.commit("de-1", pairs(9), "in", {"quarantined": 7, "note": 'has "check":"00000000" inside'})
    path = tmp_path / "manifest" / "de-1.json"
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        path.write_bytes(flipped(data, bit))
        error = error_of(lambda: store.manifest("de-1"), manifest)
        assert error is None or (error.file == str(path) and "delete this manifest" in error.remedy)
    assert Manifest.from_json(data) == manifest


def test_a_manifest_of_an_older_version_has_no_checksum(tmp_path):
    store = ShardStore(tmp_path)
    manifest = store.commit("de-1", pairs(9), "in")
    path = tmp_path / "manifest" / "de-1.json"
    path.write_text(path.read_text().replace(f'"check":"{store.manifest("de-1").check}",', ""))
    assert store.manifest("de-1") == manifest


def test_a_damaged_shard_is_made_again(tmp_path):
    store = ShardStore(tmp_path)
    path = tmp_path / store.commit("de-1", pairs(), "in").file
    store.commit("de-2", pairs(), "in")
    path.write_bytes(flipped(path.read_bytes(), 5000))
    assert store.damaged(["de-1", "de-2"]) == []  # only sizes are looked at; a reader finds it
    with pytest.raises(UserError):
        store.read("de-1")
    assert store.damaged(["de-1", "de-2"]) == ["de-1"]
    store.uncommit("de-1")
    store.commit("de-1", pairs(), "in")
    assert store.damaged(["de-1", "de-2"]) == [] and store.read("de-1").equals(pairs())


def test_a_note_about_an_earlier_attempt_says_nothing(tmp_path):
    store = ShardStore(tmp_path)
    store.commit("de-1", pairs(), "in")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "de-1").write_text("0" * 16)
    assert store.damaged(["de-1"]) == []


def test_a_changed_bit_of_a_file_is_noted_beside_it(tmp_path):
    path = tmp_path / "shard.parquet"
    path.write_bytes(parquet_bytes(pairs()))
    sha256, data = hash_file(path), path.read_bytes()
    assert read_table(path, sha256).equals(pairs())
    check_file(path, sha256)
    for bit in bits(data):
        path.write_bytes(flipped(data, bit))
        for read in (read_table, check_file):
            with pytest.raises(UserError) as e:
                read(path, sha256, "de-1")
            assert (e.value.file, e.value.key) == (path, "de-1") and "xner run" in e.value.remedy
    assert damage_note(path).exists()
    path.unlink()
    for read in (read_table, check_file):
        with pytest.raises(UserError, match="gone"):
            read(path, sha256)


def test_no_changed_bit_of_an_array_gives_other_keys(tmp_path):
    path, keys = tmp_path / "index-0-1.npy", np.sort(np.random.default_rng(1).integers(0, 2**63, 12).astype(np.uint64))
    save_array(path, keys)
    data = path.read_bytes()
    for bit in range(8 * len(data)):
        path.write_bytes(flipped(data, bit))
        error = error_of(lambda: load_array(path).tolist(), keys.tolist())
        assert error is None or (error.file == path and "xner run" in error.remedy)
    np.save(path, keys)  # as older versions wrote it
    assert np.array_equal(load_array(path), keys)


def test_no_changed_bit_of_a_checked_object_gives_another_one():
    tree = {"counts": {"a": 12, "ü": [1, None]}, "labels": ["x"]}
    data = dump_checked(tree).encode()
    for bit in range(8 * len(data)):
        try:
            read = load_checked(flipped(data, bit))
        except ValueError:
            continue
        assert {key: read[key] for key in tree} == tree


def test_where_the_note_cannot_be_written_the_remedy_says_what_to_delete(tmp_path):
    path = tmp_path / "shard.parquet"
    path.write_bytes(b"x")
    damage_note(path).mkdir()  # root may write everywhere, but replaces no folder by a file
    with pytest.raises(UserError) as e:
        check_file(path, "0" * 64)
    assert "delete it" in e.value.remedy
