"""The choice of sentences: quotas, equal ratios, and one choice for a seed in any division into shards."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness.projection_rows import aligned, row
from xner_ray import schema
from xner_ray.config import DatasetConfig, RulesConfig
from xner_ray.errors import UserError
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.sentence_sampling import sample_sentences


def corpus(name: str, domain: str, full: int, empty: int, dropped: int = 3) -> list[dict]:
    """Rows with verdicts: so many kept rows, kept rows without entity, and dropped ones."""
    rows = []
    for i in range(full + empty + dropped):
        entities = [] if full <= i < full + empty else [(0, 4, "LOC")]
        projections = [(0, 3, 7)] if i < full else []
        rows.append(row("Bonn", f"In Bonn, {i}.", entities, projections, corpus=name, domain=domain, pair_id=i))
    return rows


ROWS = corpus("a", "news", 400, 200) + corpus("b", "news", 100, 50) + corpus("c", "talk", 100, 200)


def write(folder, rows, sizes=(10_000,)) -> list:
    """Filtered shards of the given sizes, the last size repeated."""
    table, files = assign_verdicts(aligned(rows), RulesConfig()), []
    at, sizes = 0, list(sizes)
    while at < table.num_rows:
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        files.append(folder / f"shard-{len(files):03d}.parquet")
        pq.write_table(table.slice(at, size), files[-1])
        at += size
    return files


@pytest.fixture
def choose(tmp_path):
    def _choose(rows=ROWS, sizes=(10_000,), seed=1, name="train.parquet", **config):
        out = tmp_path / name
        summary = sample_sentences(write(tmp_path, rows, sizes), out, DatasetConfig(**config), seed)
        return summary, pq.read_table(out), out.read_bytes()

    return _choose


def ids(table: pa.Table) -> set:
    return set(zip(table.column("corpus").to_pylist(), table.column("pair_id").to_pylist(), strict=True))


def test_at_most_max_sentences_and_the_same_ratio_in_each_domain(choose):
    summary, table, _ = choose(max_sentences=100, no_entity_ratio=0.2)
    assert summary["sentences"] == table.num_rows == len(ids(table)) == 100
    assert (summary["with_entity"], summary["without_entity"], summary["notes"]) == (80, 20, [])
    for domain in summary["domains"].values():
        assert domain["without_entity"] == pytest.approx(domain["with_entity"] / 4, abs=1)
    assert set(summary["domains"]) == {"news", "talk"}
    assert set(table.column("verdict").to_pylist()) == {"kept", "kept_no_entity"}


def test_the_file_has_tokens_and_tags(choose):
    summary, table, _ = choose(max_sentences=50)
    assert table.schema.equals(schema.EXPORTED)
    assert (summary["entities"], summary["unlabeled"]) == (summary["with_entity"], 0)
    for one in table.to_pylist():
        assert one["ner_tags"][1] == ("B-LOC" if one["entities"] else "O")


def test_the_choice_depends_on_the_seed_and_not_on_the_shards(choose):
    _, table, data = choose(max_sentences=100)
    _, again, same = choose(max_sentences=100, name="again.parquet")
    assert data == same
    _, cut, _ = choose(max_sentences=100, sizes=(7, 100, 211))
    assert ids(cut) == ids(again)
    _, turned, _ = choose(ROWS[::-1], max_sentences=100)
    assert ids(turned) == ids(table)
    _, other, _ = choose(max_sentences=100, seed=2)
    assert ids(other) != ids(table)


def test_a_larger_choice_contains_the_smaller_one(choose):
    _, small, _ = choose(max_sentences=50)
    _, large, _ = choose(max_sentences=200)
    assert ids(small) <= ids(large)


def test_too_few_sentences_without_entity_are_all_chosen_and_reported(choose):
    summary, _, _ = choose(
        corpus("a", "news", 100, 5) + corpus("b", "talk", 100, 100), max_sentences=200, no_entity_ratio=0.4
    )
    assert summary["domains"]["news"]["without_entity"] == 5
    assert summary["domains"]["talk"]["no_entity_ratio"] == pytest.approx(0.4, abs=0.01)
    assert len(summary["notes"]) == 1
    assert summary["notes"][0].startswith("news: only 5 of ")


@pytest.mark.parametrize(("share", "full", "empty"), [(0.0, 600, 0), (0.5, 600, 350), (1.0, 0, 450)])
def test_never_more_than_the_available_sentences(choose, share, full, empty):
    summary, _, _ = choose(max_sentences=2000, no_entity_ratio=share)
    assert (summary["with_entity"], summary["without_entity"]) == (full, empty)


def test_corpora_that_ingest_sampled_at_different_rates_have_the_same_chance(choose):
    """Ingest took the smallest plain hashes; the choice must not prefer the corpus that was thinned more."""
    summary, table, _ = choose(
        corpus("a", "news", 1000, 0) + corpus("b", "talk", 1000, 0), max_sentences=500, no_entity_ratio=0
    )
    assert summary["domains"]["news"]["with_entity"] == pytest.approx(250, abs=60)
    assert table.num_rows == 500


def test_rows_of_many_shards_fill_row_groups(choose):
    summary, table, _ = choose(corpus("a", "news", 5000, 0), sizes=(1500,), max_sentences=40000, no_entity_ratio=0)
    assert table.num_rows == summary["entities"] == 5000
    assert table.column("pair_id").to_pylist() == list(range(5000))


def test_no_shards_and_no_kept_sentence_are_errors(choose, tmp_path):
    with pytest.raises(UserError, match="no labeled shards"):
        sample_sentences([], tmp_path / "x.parquet", DatasetConfig(), 1)
    with pytest.raises(UserError, match="nothing to train on"):
        choose(corpus("a", "news", 0, 5))
    assert not (tmp_path / "train.parquet").exists()


def test_a_pair_in_two_shards_is_an_error(choose, tmp_path):
    rows = corpus("a", "news", 20, 0)
    with pytest.raises(RuntimeError, match="twice"):
        choose([*rows, *rows], sizes=(23,), max_sentences=10, no_entity_ratio=0)
    assert not list(tmp_path.glob(".train*"))


def test_only_sentences_of_the_configured_corpora(choose):
    summary, table, _ = choose(max_sentences=100, no_entity_ratio=0.2, corpora=["b", "c"])
    assert set(table.column("corpus").to_pylist()) == {"b", "c"} and table.num_rows == 100
    assert set(summary["domains"]) == {"news", "talk"}
    everything = choose(max_sentences=100, no_entity_ratio=0.2, corpora=["a", "b", "c"])
    assert everything[2] == choose(max_sentences=100, no_entity_ratio=0.2)[2]
    with pytest.raises(UserError, match="no sentence with entities"):
        choose(corpora=["d"])
