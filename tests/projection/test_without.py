"""What must not be trained on is not chosen, and counts for nothing."""

import pyarrow as pa
import pyarrow.parquet as pq

from tests.harness.projection_rows import aligned, row
from xner_ray.config import DatasetConfig, RulesConfig
from xner_ray.projection.exclusions import Without
from xner_ray.projection.filters import judge
from xner_ray.projection.sentence_sampling import select
from xner_ray.text.sentence_keys import pair_keys, target_keys


def rows(numbers: range) -> list[dict]:
    return [row("Bonn", f"In Bonn, {i}.", [(0, 4, "LOC")], [(0, 3, 7)], pair_id=i) for i in numbers]


def chosen(tmp_path, without: Without | None) -> tuple[set[int], dict]:
    pq.write_table(judge(aligned(rows(range(40))), RulesConfig()), tmp_path / "shard.parquet")
    out = tmp_path / "train.parquet"
    summary = select([tmp_path / "shard.parquet"], out, DatasetConfig(max_sentences=100), 1, without)
    assert summary["sentences"] == summary["available"] == pq.read_table(out).num_rows
    return set(pq.read_table(out).column("pair_id").to_pylist()), summary


def test_withdrawn_and_held_out(tmp_path):
    table = aligned(rows(range(40)))
    gone = pair_keys(table["source"], table["target"])[:5]
    held = target_keys(pa.array(["IN BONN ... 7", "In  Bonn 9!", "In Rom, 8."]))
    assert chosen(tmp_path, None)[0] == chosen(tmp_path, Without())[0] == set(range(40))
    assert chosen(tmp_path, Without(gone, held))[0] == set(range(5, 40)) - {7, 9}


def test_a_held_out_sentence_stays_out_with_any_english_beside_it(tmp_path):
    more = rows(range(3))
    more[1]["source"] = "Off to Bonn"
    more[1]["target"] = more[0]["target"]
    pq.write_table(judge(aligned(more), RulesConfig()), tmp_path / "shard.parquet")
    without = Without(held_out=target_keys(pa.array([more[0]["target"]])))
    summary = select([tmp_path / "shard.parquet"], tmp_path / "t.parquet", DatasetConfig(), 1, without)
    assert pq.read_table(tmp_path / "t.parquet").column("pair_id").to_pylist() == [2] and summary["available"] == 1


def test_identity():
    one, other = (target_keys(pa.array([text])) for text in ("a", "b"))
    assert Without().identity() == {} and not Without()
    assert Without(one).identity() != Without(other).identity() != Without(held_out=one).identity()
