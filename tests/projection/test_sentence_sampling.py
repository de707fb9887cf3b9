"""The choice of sentences: quotas, equal ratios, and one choice for a seed in any division into shards."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness.projection_rows import aligned, row
from xner_ray import schema
from xner_ray.config import DatasetConfig, RulesConfig
from xner_ray.corpora.sampling import pair_hash
from xner_ray.errors import UserError
from xner_ray.projection.exclusions import Exclusions
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.kept_rows import KeptRows, open_file, smallest_hashes
from xner_ray.projection.ledger import Ledger
from xner_ray.projection.sentence_sampling import sample_sentences
from xner_ray.text.sentence_keys import splitmix64, target_keys


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


def test_balanced_domains_give_equal_numbers(choose):
    groups = {"both": ["a"], "talk": ["c"]}  # of the domain news, the corpus b is left out
    summary, table, _ = choose(max_sentences=100, no_entity_ratio=0.2, balanced_domains=groups)
    assert {x: d["with_entity"] for x, d in summary["domains"].items()} == {"both": 40, "talk": 40}
    assert summary["without_entity"] == 20 and set(table.column("corpus").to_pylist()) == {"a", "c"}
    summary, _, _ = choose(max_sentences=300, no_entity_ratio=0, balanced_domains=groups, name="more.parquet")
    assert {x: d["with_entity"] for x, d in summary["domains"].items()} == {"both": 200, "talk": 100}
    summary, table, _ = choose(max_sentences=90, no_entity_ratio=0, balanced_domains={"x": ["a", "b"], "y": ["c"]})
    assert set(summary["domains"]) == {"x", "y"} and set(table.column("domain").to_pylist()) == {"news", "talk"}


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


def reference(table: pa.Table, number: int, ratio: float, seed: int) -> list[tuple[str, int]]:
    """The chosen rows, (corpus, pair_id) in the order of the table, by sorting all rows in memory."""
    kept = [r for r in table.to_pylist() if r["verdict"] in ("kept", "kept_no_entity")]
    for r in kept:
        r["hash"] = int(splitmix64(pair_hash(seed, r["corpus"], r["language"], np.array([r["pair_id"]])))[0])
    kept_by_hash = sorted(kept, key=lambda r: r["hash"])
    chosen = [r for r in kept_by_hash if r["verdict"] == "kept"][: number - round(number * ratio)]
    exact = {
        domain: sum(r["domain"] == domain for r in chosen) * ratio / (1 - ratio)
        for domain in sorted({r["domain"] for r in kept})
    }
    total = min(round(number * ratio), round(sum(exact.values())))
    quota = {domain: int(x) for domain, x in exact.items()}
    for domain in sorted(exact, key=lambda d: quota[d] - exact[d])[: total - sum(quota.values())]:
        quota[domain] += 1
    for domain, n in quota.items():
        chosen += [r for r in kept_by_hash if r["verdict"] == "kept_no_entity" and r["domain"] == domain][:n]
    keys = {(r["corpus"], r["pair_id"]) for r in chosen}
    return [key for r in kept if (key := (r["corpus"], r["pair_id"])) in keys]


MANY = corpus("a", "news", 3000, 1500) + corpus("b", "news", 900, 400) + corpus("c", "talk", 500, 900)


def ledger_counts(table: pa.Table, corpora=None) -> dict:
    ledger = Ledger()
    ledger.count_verdicts(table)
    return ledger.kept("de", corpora)


def from_last_to_first(function, items):
    """A mapper whose tasks run in another order than their results are used."""
    return reversed([function(item) for item in reversed(items)])


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("number", "ratio"), [(60, 0.2), (700, 0.5), (5000, 0.1)])
def test_tasks_choose_what_a_sort_of_all_rows_chooses(tmp_path, seed, number, ratio):
    files = write(tmp_path, MANY, (97, 400, 1100))
    table = assign_verdicts(aligned(MANY), RulesConfig())
    counts, config = ledger_counts(table), DatasetConfig(max_sentences=number, no_entity_ratio=ratio)
    results = set()
    for name, keys in {
        "plain": {},
        "counts": {"counts": counts},
        "order": {"counts": counts, "mapper": from_last_to_first},
        "too high": {"counts": {group: 40 * n for group, n in counts.items()}},  # the limit is then too low
        "too low": {"counts": {group: n // 40 for group, n in counts.items()}},
        "one group": {"counts": {("news", "kept"): 9000}},
    }.items():
        summary = sample_sentences(files, tmp_path / name, config, seed, **keys)
        chosen = pq.read_table(tmp_path / name)
        keys_of = zip(chosen["corpus"].to_pylist(), chosen["pair_id"].to_pylist(), strict=True)
        assert list(keys_of) == reference(table, number, ratio, seed), name
        assert summary["sentences"] == len(chosen) and summary["available"] == sum(counts.values())
        results.add((tmp_path / name).read_bytes())
    assert len(results) == 1


def test_counts_limit_what_a_task_returns(tmp_path):
    """The driver gets hashes in proportion to the chosen sentences, not to those of the corpus."""
    files = write(tmp_path, MANY, (500,))
    returned = []

    def counting(function, items):
        for result in map(function, items):
            if isinstance(result, dict):
                returned.append(sum(len(group.smallest) for group in result.values()))
            yield result

    counts = ledger_counts(assign_verdicts(aligned(MANY), RulesConfig()))
    config = DatasetConfig(max_sentences=20)
    sample_sentences(files, tmp_path / "x", config, 1, counts=counts, mapper=counting)
    assert 20 <= sum(returned) < 1000 < sum(counts.values()) == 7200
    all_hashes = smallest_hashes(files, rows=KeptRows(open_file, 1, Exclusions(), None), limits={}, max_hashes=10**6)
    assert {group: x.rows for group, x in all_hashes.items()} == counts


def test_excluded_rows_that_the_counts_include_cost_a_second_reading(tmp_path):
    rows = [r for r in MANY if r["corpus"] == "a"]
    files = write(tmp_path, rows, (900,))
    table = assign_verdicts(aligned(rows), RulesConfig())
    excluded = table.filter(pa.array([r % 10 > 0 for r in range(len(table))]))
    exclusions = Exclusions(held_out=target_keys(excluded["target"]))
    sample = partial(sample_sentences, files, config=DatasetConfig(max_sentences=200), seed=1, exclusions=exclusions)
    assert sample(out=tmp_path / "plain") == sample(out=tmp_path / "counts", counts=ledger_counts(table))
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "counts").read_bytes()
    assert not set(pq.read_table(tmp_path / "counts")["target"].to_pylist()) & set(excluded["target"].to_pylist())


def test_the_ledger_counts_kept_pairs_of_a_language():
    table = assign_verdicts(aligned(ROWS), RulesConfig())
    counts = ledger_counts(table)
    assert counts["news", "kept"] == 500 and counts["news", "kept_no_entity"] == 250 and counts["talk", "kept"] == 100
    assert ledger_counts(table, ["b"])["news", "kept"] == 100
    assert Ledger().kept("de") == {}
