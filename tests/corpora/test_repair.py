"""Damaged files of a collection are made again from its corpora, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpora.test_collection import files_of, living, source, write
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.dedup_index import load_tombstones
from xner_ray.corpora.ingest_report import load_report
from xner_ray.corpora.repair import damaged_files, repair
from xner_ray.errors import UserError
from xner_ray.storage.verify import read_table


@pytest.fixture
def grown(tmp_path):
    """A collection of two generations; both corpora of the second one are still there."""
    collection = Collection(tmp_path / "out")
    collection.add([source(write(tmp_path / "b", list(range(20))), "b")])
    sources = [source(write(tmp_path / "a", list(range(10, 30))), "a"), source(tmp_path / "b", "b")]
    collection.add(sources)
    return collection, sources


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_a_sound_collection_needs_no_repair(grown):
    collection, sources = grown
    assert damaged_files(collection) == [] and repair(collection, sources) == []


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("generation", [1, 2])
def test_a_damaged_shard_is_made_again(grown, generation, damage):
    collection, sources = grown
    before = files_of(collection.root)
    shard = collection.reports()[generation - 1].shards[1]
    damage(collection.root / shard.file)
    with pytest.raises(UserError) as e:
        read_table(collection.root / shard.file, shard.sha256, "de-1")
    assert (e.value.file, e.value.key) == (collection.root / shard.file, "de-1") and "xner run" in e.value.remedy
    assert repair(collection, sources) == [collection.root / shard.file]
    assert files_of(collection.root) == before


def test_every_other_file_of_a_generation_is_made_again(grown):
    collection, sources = grown
    before = files_of(collection.root)
    for name in ("ingest.json", "quarantine.parquet"):
        (collection.root / "generation-000001" / name).unlink()
        repair(collection, sources)
        assert files_of(collection.root) == before


def test_a_damaged_index_is_an_error_of_the_next_ingest_and_made_again(grown, tmp_path):
    collection, sources = grown
    before = files_of(collection.root)
    (index,) = (collection.root / "generation-000001").glob("index-*")
    flip(index)
    more = [*sources, source(write(tmp_path / "c", [5, 50]), "c")]
    with pytest.raises(UserError) as e:
        collection.add(more)
    assert e.value.file == index and "xner run" in e.value.remedy
    repair(collection, more)
    assert {name: data for name, data in files_of(collection.root).items() if "staging" not in name} == before
    collection.add(more)
    assert living(collection) == [*range(30), 50]


def test_a_changed_corpus_cannot_repair(grown, tmp_path):
    collection, sources = grown
    file = collection.root / collection.reports()[0].shards[0].file
    write(tmp_path / "b", [1])
    file.unlink()
    with pytest.raises(UserError, match="`b` has changed") as e:
        repair(collection, sources)
    assert e.value.file == file and "backup" in e.value.remedy and str(collection.root) in e.value.remedy
    assert not list(collection.root.glob("*.tmp"))


@pytest.mark.parametrize("name", ["ingest.json", "generation.json"])
def test_a_damaged_json_file_is_named(grown, name):
    collection, _ = grown
    file = collection.root / "generation-000002" / name
    for text in ("", "{", "[]", "null", "{}", file.read_text().replace("1", "2", 1)):
        file.write_text(text)
        with pytest.raises(UserError) as e:
            collection.merged_report() if name == "ingest.json" else collection.versions()
        assert e.value.file == file and e.value.remedy


def test_a_staged_corpus_of_a_killed_ingest_is_checked(tmp_path, monkeypatch):
    collection = Collection(tmp_path / "out")
    corpus = [source(write(tmp_path / "a", list(range(20))), "a")]
    with monkeypatch.context() as patch:
        patch.setattr("xner_ray.corpora.generation._deduplicate", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            collection.add(corpus)
    (staged,) = (collection.root / "staging").iterdir()
    flip(staged / "shard-00001.parquet")
    with pytest.raises(UserError) as e:
        collection.add(corpus)
    assert e.value.file == staged / "shard-00001.parquet" and f"delete {staged}" in e.value.remedy


def test_tombstones_are_verified(grown, tmp_path):
    collection, sources = grown
    collection.add([sources[0], source(write(tmp_path / "b", [1]), "b")])
    folder = collection.root / "generation-000003"
    assert len(load_tombstones(folder)) and load_report(folder)
    (dead,) = folder.glob("dead-*")
    flip(dead)
    with pytest.raises(UserError) as e:
        collection.tombstones()
    assert e.value.file == dead


@pytest.mark.parametrize("text", ["", "{", "null", "7"])
def test_settings_of_a_collection_are_written_again(grown, text):
    collection, sources = grown
    file = collection.root / "collection.json"
    content = file.read_bytes()
    file.write_text(text)
    with pytest.raises(UserError) as e:
        collection.add(sources)
    assert e.value.file == file and "delete this file" in e.value.remedy
    file.unlink()
    assert collection.add(sources) is None and file.read_bytes() == content


def test_a_generation_in_the_middle_that_is_gone_is_named(grown):
    collection, _ = grown
    (collection.root / "generation-000001" / "generation.json").unlink()
    with pytest.raises(UserError) as e:
        collection.generations()
    assert (
        e.value.file == collection.root / "generation-000001" / "generation.json"
        and str(collection.root) in e.value.remedy
    )
