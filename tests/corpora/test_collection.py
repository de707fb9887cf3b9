"""A collection against a model of ten lines: first pairs are kept, removed pairs get tombstones, all lines are counted."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.corpus_files import GOOD, check_counts, good_moses
from xner_ray.config import CorpusConfig, IngestConfig
from xner_ray.corpora import collection as collection_module
from xner_ray.corpora import dedup_index as index
from xner_ray.corpora import staging
from xner_ray.corpora.collection import Collection
from xner_ray.corpora.readers import line_reader as lines
from xner_ray.corpora.readers.corpus_reader import Source
from xner_ray.errors import UserError
from xner_ray.text.sentence_keys import pair_keys

RUNS = settings(max_examples=int(os.environ.get("XNER_EXAMPLES", "12")), deadline=None)
VERSIONS = st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(0, 12), min_size=1, max_size=12), min_size=1)


def source(path: Path, name: str = "c", label: str | None = None, **keys) -> Source:
    corpus = CorpusConfig(name=name, format="moses", path=str(path))
    return Source(
        corpus,
        label or name,
        str(path),
        None,
        ("en", "de"),
        IngestConfig(max_pairs_per_language=None, **{"shard_rows": 3} | keys),
    )


def write(path: Path, numbers: list[int]) -> Path:
    return good_moses(path, [(f"word {n} !", f"Wort {n}.") for n in numbers])


def all_pairs(collection: Collection) -> pa.Table:
    """The pairs of all shards, with a column `dead`."""
    files = [shard.file for report in collection.reports() for shard in report.shards]
    if not files:
        return pa.table({"source": [], "corpus": [], "pair_id": [], "dead": []})
    table = pa.concat_tables(pq.read_table(collection.root / file) for file in files)
    dead = np.isin(pair_keys(table["source"], table["target"]), collection.tombstones())
    return table.append_column("dead", pa.array(dead))


def number(row: dict) -> int:
    return int(row["source"].split()[1])


def living(collection: Collection) -> list[int]:
    """The pairs without a tombstone."""
    return sorted(number(row) for row in all_pairs(collection).to_pylist() if not row["dead"])


def labels(collection: Collection) -> dict[int, str]:
    """The label of each pair's row; every pair is written at most once."""
    rows = all_pairs(collection).to_pylist()
    by_number = {number(row): row["corpus"] for row in rows}
    assert len(by_number) == len(rows)
    return by_number


def files_of(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture
def small(monkeypatch):
    """Sizes at which a dozen pairs make many blocks, runs and ranges."""
    monkeypatch.setattr(lines, "BLOCK", 40)
    monkeypatch.setattr(staging, "KEYS_PER_RUN", 2)
    monkeypatch.setattr(index, "KEYS_PER_RANGE", 4)


@RUNS
@given(steps=st.lists(VERSIONS, min_size=1, max_size=4))
def test_collection_agrees_with_a_model(steps):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", 40)
        patch.setattr(staging, "KEYS_PER_RUN", 2)
        patch.setattr(index, "KEYS_PER_RANGE", 4)
        folder = Path(tempfile.mkdtemp())
        try:
            check_steps(folder, steps)
        finally:
            shutil.rmtree(folder)


def check_steps(folder: Path, steps: list[dict[str, list[int]]]) -> None:
    collection = Collection(folder / "out")
    owner: dict[int, str] = {}
    current: dict[str, list[int]] = {}
    for step in steps:
        changed = {name: numbers for name, numbers in step.items() if current.get(name) != numbers}
        before = files_of(collection.root) if collection.root.exists() else {}
        report = collection.add([source(write(folder / name, numbers), name) for name, numbers in step.items()])
        assert (report is None) == (not changed)
        for name in sorted(changed):  # corpora in the order of their names, lines in theirs
            known = set(owner)
            for number in changed[name]:
                owner.setdefault(number, name)
            label = next(x for x in report.corpora if x.split("/")[0] == name)  # type: ignore[union-attr]
            count = report.corpora[label]  # type: ignore[union-attr]
            check_counts(count)
            assert count.read == len(changed[name]) and count.rows == len(set(changed[name]) - known)
        current |= changed
        assert {n: label.split("/")[0] for n, label in labels(collection).items()} == owner
        assert living(collection) == sorted({n for numbers in current.values() for n in numbers})
        assert len(collection.tombstones()) == len(owner) - len(living(collection))
        assert before.items() <= files_of(collection.root).items()  # no earlier file has changed


def test_new_version_adds_only_its_new_pairs(tmp_path, small):
    collection = Collection(tmp_path / "out")
    collection.add([source(write(tmp_path / "v1", list(range(10))), label="c/v1")])
    report = collection.add([source(write(tmp_path / "v2", [*range(2, 10), 77]), label="c/v2")])
    assert report is not None and report.corpora["c/v2"].known == 8
    assert [(s.rows, s.file) for s in report.shards] == [(1, "shard-00004.parquet")]
    dead = [row for row in all_pairs(collection).to_pylist() if row["dead"]]
    assert [(row["corpus"], row["pair_id"]) for row in dead] == [("c/v1", 0), ("c/v1", 1)]
    assert collection.add([source(tmp_path / "v2", label="c/v2")]) is None
    back = collection.add(
        [source(write(tmp_path / "v3", list(range(10))), label="c/v3")]
    )  # 0 and 1 are pairs of a corpus again
    assert back is not None and back.rows == 0 and not back.shards
    assert living(collection) == list(range(10)) and len(collection.tombstones()) == 1


def test_versions_with_equal_labels_get_numbers(tmp_path):
    collection = Collection(tmp_path / "out")
    for n in (1, 2, 3):
        collection.add([source(write(tmp_path / "c", [n]))])
    assert labels(collection) == {1: "c", 2: "c/2", 3: "c/3"}


def test_a_corpus_named_like_the_next_version_of_another_loses_no_pair(tmp_path):
    collection = Collection(tmp_path / "out")
    collection.add([source(write(tmp_path / "a", [1, 2]), "A")])
    report = collection.add(
        [source(write(tmp_path / "a", [1, 2, 3]), "A"), source(write(tmp_path / "b", [4, 5]), "A/2")]
    )
    assert report is not None and sorted(report.corpora) == ["A/2", "A/2/2"]
    assert living(collection) == [1, 2, 3, 4, 5] and labels(collection) == {
        1: "A",
        2: "A",
        3: "A/2",
        4: "A/2/2",
        5: "A/2/2",
    }


def test_other_filters_add_the_pairs_that_were_dropped(tmp_path):
    path = good_moses(tmp_path / "c", [("same", "Same"), ("a", "a" * 90), *GOOD[:3]])
    collection = Collection(tmp_path / "out")
    strict = collection.add([source(path, clean={})])
    assert strict is not None and strict.corpora["c"].dropped == {"identical_sides": 1, "length_ratio": 1}
    check_counts(strict.corpora["c"])
    loose = collection.add([source(path, clean={"max_length_ratio": None})])
    assert loose is not None and (loose.rows, loose.corpora["c/2"].dropped) == (1, {"identical_sides": 1})
    scores = pq.read_table(tmp_path / "out" / "generation-000001" / "scores-0.parquet").to_pylist()
    assert [row["dropped"] for row in scores] == ["identical_sides", "length_ratio", None, None, None]
    assert scores[0]["identical"] == 1 and scores[1]["length_ratio"] == pytest.approx(100 / 11)
    assert [row["pair_id"] for row in scores] == list(range(5))


def test_restart_skips_staged_corpora_and_gives_the_same_bytes(tmp_path, monkeypatch):
    paths = {name: write(tmp_path / name, list(range(i, 9))) for i, name in enumerate("abc")}
    whole = Collection(tmp_path / "whole")
    whole.add([source(path, name) for name, path in paths.items()])
    broken = Collection(tmp_path / "broken")

    def fail(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xner_ray.corpora.generation._deduplicate", fail)
        with pytest.raises(KeyboardInterrupt):
            broken.add([source(path, name) for name, path in paths.items()])
    assert not broken.generations() and len(list((broken.root / "staging").iterdir())) == 3
    read = []
    broken.add([source(path, name) for name, path in paths.items()], progress=lambda name, n: read.append(name))
    assert not read and files_of(broken.root) == files_of(whole.root)


def test_slower_of_two_writers_gets_an_error(tmp_path, monkeypatch):
    collection = Collection(tmp_path / "out")
    build = collection_module.build_generation

    def slow(*args, **keys):
        generation = build(*args, **keys)
        with monkeypatch.context() as patch:
            patch.setattr(collection_module, "build_generation", build)
            Collection(tmp_path / "out").add([source(write(tmp_path / "b", [2]), "b")])
        return generation

    monkeypatch.setattr(collection_module, "build_generation", slow)
    with pytest.raises(UserError, match="another process"):
        collection.add([source(write(tmp_path / "a", [1]), "a")])
    assert living(collection) == [2]
    monkeypatch.undo()
    collection.add([source(tmp_path / "a", "a")])
    assert living(collection) == [1, 2]


def test_foreign_folder_and_other_settings_are_errors(tmp_path):
    path = write(tmp_path / "c", [1])
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "a.txt").write_text("x")
    with pytest.raises(UserError, match="not a collection"):
        Collection(tmp_path / "thesis").add([source(path)])
    Collection(tmp_path / "out").add([source(path)])
    with pytest.raises(UserError, match="shard_rows: 3 -> 4"):
        Collection(tmp_path / "out").add([source(path, shard_rows=4)])


def test_ranges_cover_all_keys_once():
    assert [
        index.range_count(n) for n in (0, 1, index.KEYS_PER_RANGE, index.KEYS_PER_RANGE + 1, 9 * index.KEYS_PER_RANGE)
    ] == [
        1,
        1,
        1,
        2,
        16,
    ]
    keys = np.sort(np.random.default_rng(1).integers(0, 2**64, 5000, np.uint64, endpoint=False))
    keys[[0, -1]] = 0, 2**64 - 1
    for count in (1, 2, 64):
        parts = [index._bounds(keys, index.RangeTask(i, count, [], [], [], [], Path(), Path())) for i in range(count)]
        assert [p.stop for p in parts[:-1]] == [p.start for p in parts[1:]]
        assert (parts[0].start, parts[-1].stop) == (0, len(keys))
