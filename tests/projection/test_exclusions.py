"""Excluded rows are not chosen, and do not count as available."""

import pyarrow as pa
import pyarrow.parquet as pq

from tests.harness.projection_rows import aligned, row
from xner_ray.config import DatasetConfig, RulesConfig
from xner_ray.projection.exclusions import Exclusions
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.sentence_sampling import sample_sentences
from xner_ray.text.sentence_keys import pair_keys, target_keys


def rows(numbers: range) -> list[dict]:
    return [row("Bonn", f"In Bonn, {i}.", [(0, 4, "LOC")], [(0, 3, 7)], pair_id=i) for i in numbers]


def chosen_ids(tmp_path, exclusions: Exclusions | None) -> tuple[set[int], dict]:
    pq.write_table(assign_verdicts(aligned(rows(range(40))), RulesConfig()), tmp_path / "shard.parquet")
    out = tmp_path / "train.parquet"
    summary = sample_sentences([tmp_path / "shard.parquet"], out, DatasetConfig(max_sentences=100), 1, exclusions)
    assert summary["sentences"] == summary["available"] == pq.read_table(out).num_rows
    return set(pq.read_table(out).column("pair_id").to_pylist()), summary


def test_withdrawn_pairs_and_held_out_targets_are_not_chosen(tmp_path):
    table = aligned(rows(range(40)))
    gone = pair_keys(table["source"], table["target"])[:5]
    held = target_keys(pa.array(["IN BONN ... 7", "In  Bonn 9!", "In Rom, 8."]))
    assert chosen_ids(tmp_path, None)[0] == chosen_ids(tmp_path, Exclusions())[0] == set(range(40))
    assert chosen_ids(tmp_path, Exclusions(gone, held))[0] == set(range(5, 40)) - {7, 9}


def test_a_held_out_target_is_excluded_with_any_source(tmp_path):
    more = rows(range(3))
    more[1]["source"] = "Off to Bonn"
    more[1]["target"] = more[0]["target"]
    pq.write_table(assign_verdicts(aligned(more), RulesConfig()), tmp_path / "shard.parquet")
    exclusions = Exclusions(held_out=target_keys(pa.array([more[0]["target"]])))
    summary = sample_sentences([tmp_path / "shard.parquet"], tmp_path / "t.parquet", DatasetConfig(), 1, exclusions)
    assert pq.read_table(tmp_path / "t.parquet").column("pair_id").to_pylist() == [2] and summary["available"] == 1


def test_hashes_depend_on_the_keys_and_their_kind():
    one, other = (target_keys(pa.array([text])) for text in ("a", "b"))
    assert Exclusions().hashes() == {} and not Exclusions()
    assert Exclusions(one).hashes() != Exclusions(other).hashes() != Exclusions(held_out=one).hashes()
