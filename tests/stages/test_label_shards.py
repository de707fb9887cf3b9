"""What happens to one shard in the labelling graph, without the graph: read, label, align, commit."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xner_ray import schema
from xner_ray.config import Rules
from xner_ray.errors import UserError
from xner_ray.projection.rules import judge
from xner_ray.stages import label as stage
from xner_ray.store import ShardStore

SETTINGS = {"null": True, "budget": 4096, "precision": "auto", "threads": 1}


def pairs(rows: int) -> pa.Table:
    same = {k: [k] * rows for k in ("corpus", "domain")} | {"language": ["de"] * rows}
    texts = {
        "source": [f"Anna met {i} friends in Vienna" for i in range(rows)],
        "target": [f"Anna traf {i} Freunde in Wien" for i in range(rows)],
    }
    columns = {**same, "pair_id": list(range(rows)), **texts, "corpus_score": [None] * rows}
    return pa.table(columns, schema=schema.PAIR)


@pytest.fixture(scope="module")
def actors(tiny_encoder):
    folder = str(tiny_encoder)
    made = (
        stage.LabelShards(stage.LABEL_WORK, {"folders": {"de": folder}, "source_language": "en", **SETTINGS}, 0.01),
        stage.AlignShards(stage.ALIGN_WORK, {"folder": folder, **SETTINGS}, 0.01),
    )
    yield made
    for actor in made:
        actor.guard.child.close()


def descriptor(tmp_path, table: pa.Table, name: str = "s-1") -> pa.Table:
    pq.write_table(table, tmp_path / f"{name}.in")
    row = {
        "shard": name,
        "language": "de",
        "path": str(tmp_path / f"{name}.in"),
        "rows": len(table),
        "input_hash": "in",
    }
    return pa.Table.from_pylist([row])


def test_a_shard_goes_through(tmp_path, actors):
    root = str(tmp_path / "store")
    batch = stage.read_shard(descriptor(tmp_path, pairs(50)), root)
    assert list(ShardStore(root).running()) == ["s-1"]
    for actor in actors:
        batch = actor(batch)
    told = stage.commit_shard(batch, root).to_pylist()[0]
    table = ShardStore(root).read("s-1", verify=True)
    assert table.schema.equals(schema.ALIGNED)
    assert table.select(schema.PAIR.names).equals(pairs(50))
    assert told == {
        "shard": "s-1",
        "rows": 50,
        "entities": len(table["entities"].combine_chunks().values),
        "quarantined": 0,
    }
    assert told["entities"] > 25 and len(table["projections"].combine_chunks().values)
    assert ShardStore(root).running() == {} and ShardStore(root).manifest("s-1").extra["quarantined"] == 0


def test_the_same_bytes_again(tmp_path, actors):
    hashes = set()
    for turn in "ab":
        batch = stage.read_shard(descriptor(tmp_path, pairs(50)), str(tmp_path / turn))
        for actor in actors:
            batch = actor(batch)
        stage.commit_shard(batch, str(tmp_path / turn))
        hashes.add(ShardStore(tmp_path / turn).manifest("s-1").sha256)
    assert len(hashes) == 1


def test_a_fault_travels_to_the_verdict_and_notes_to_the_manifest(tmp_path, actors, monkeypatch):
    labels, aligns = actors
    batch = labels(stage.read_shard(descriptor(tmp_path, pairs(20)), str(tmp_path / "x")))
    _, _, table = stage.unpack(batch)
    reasons = [None] * 20
    reasons[7] = "label: ValueError: x"
    table = table.set_column(table.schema.get_field_index("fault"), schema.FAULT, pa.array(reasons, pa.string()))
    notes = {stage._NOTES: json.dumps({"label.halvings": 1})}
    batch = aligns(stage.repack(batch, table.replace_schema_metadata(notes)))
    assert stage.commit_shard(batch, str(tmp_path / "x")).to_pylist()[0]["quarantined"] == 1
    store = ShardStore(tmp_path / "x")
    assert store.manifest("s-1").extra["label.halvings"] == 1
    verdicts = judge(store.read("s-1"), Rules())["verdict"].to_pylist()
    assert [i for i, v in enumerate(verdicts) if v == "quarantined"] == [7]


def test_an_input_of_another_length_is_named(tmp_path):
    batch = descriptor(tmp_path, pairs(5)).set_column(3, "rows", pa.array([6]))
    with pytest.raises(UserError, match="holds 5 rows, expected 6"):
        stage.read_shard(batch, str(tmp_path / "store"))
