"""What happens to one shard in the labeling graph, without the graph: read, label, align, commit."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xner_ray import schema
from xner_ray.config import Rules
from xner_ray.errors import UserError
from xner_ray.labeling import actors as stage
from xner_ray.observability.shard_timer import LogContext
from xner_ray.pipeline.stages.label import ALIGN_WORK, LABEL_WORK, TOKENIZE_WORK
from xner_ray.projection.filters import judge
from xner_ray.storage.shard_store import ShardStore

SETTINGS = {"null": True, "budget": 4096, "precision": "auto", "threads": 1}
TELLING = LogContext("test")


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
        stage.LabelShards(LABEL_WORK, {"folders": {"de": folder}, "source_language": "en", **SETTINGS}, 0.01, TELLING),
        stage.AlignShards(ALIGN_WORK, {"folder": folder, **SETTINGS}, 0.01, TELLING),
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
    noted = ShardStore(root).manifest("s-1").extra
    assert not [key for key in noted if "seconds" in key]  # a manifest says the same each time
    assert noted["label.tokens"] > 50 and noted["align.tokens"] > noted["label.tokens"]
    assert told == {
        "shard": "s-1",
        "language": "de",
        "rows": 50,
        "entities": len(table["entities"].combine_chunks().values),
        "quarantined": 0,
        "tokenize.quarantined": 0,
        "label.quarantined": 0,
        "align.quarantined": 0,
        "label.tokens": noted["label.tokens"],
        "align.tokens": noted["align.tokens"],
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


def test_the_same_bytes_where_one_actor_does_it_all(tmp_path, actors):
    labels, aligns = actors
    split, whole = str(tmp_path / "split"), str(tmp_path / "whole")
    arguments = [
        (work, actor.guard.child.settings, 0.01, TELLING, False)
        for work, actor in ((LABEL_WORK, labels), (ALIGN_WORK, aligns))
    ]
    all_of_it = stage.ReadLabelAlignCommit((whole, TELLING), *arguments, (whole, TELLING))
    try:
        told = all_of_it(descriptor(tmp_path, pairs(50)))
    finally:
        all_of_it.child.close()
    assert stage.commit_shard(aligns(labels(stage.read_shard(descriptor(tmp_path, pairs(50)), split))), split) == told
    one, other = (ShardStore(root).manifest("s-1") for root in (split, whole))
    assert (one.sha256, one.extra) == (other.sha256, other.extra)
    assert not ShardStore(whole).running()


def test_the_same_bytes_where_it_was_tokenized_before(tmp_path, actors, tiny_encoder):
    folder, made = str(tiny_encoder), [*actors]
    cutting = {"folders": {"de": folder}, "aligner": folder, "source_language": "en", "null": True}
    labeling, aligning = ({**actor.guard.child.settings} for actor in actors)
    cut = [
        stage.TokenizeShards(TOKENIZE_WORK, cutting, 0.01, TELLING),
        stage.LabelShards(LABEL_WORK, labeling, 0.01, TELLING, cut=True),
        stage.AlignShards(ALIGN_WORK, aligning, 0.01, TELLING, cut=True),
    ]
    stores = []
    try:
        for turn, way in (("a", made), ("b", cut)):
            batch = stage.read_shard(descriptor(tmp_path, pairs(50)), str(tmp_path / turn))
            for actor in way:
                batch = actor(batch)
            assert schema.CUT.name not in stage.unpack(batch)[2].column_names  # it is not carried further than needed
            stage.commit_shard(batch, str(tmp_path / turn))
            stores.append(ShardStore(tmp_path / turn).manifest("s-1"))
    finally:
        for actor in cut:
            actor.guard.child.close()
    assert stores[0].sha256 == stores[1].sha256 and stores[0].extra == stores[1].extra


def test_a_fault_travels_to_the_verdict_and_notes_to_the_manifest(tmp_path, actors, monkeypatch):
    labels, aligns = actors
    batch = labels(stage.read_shard(descriptor(tmp_path, pairs(20)), str(tmp_path / "x")))
    _, _, table = stage.unpack(batch)
    reasons = [None] * 20
    reasons[7] = "label: ValueError: x"
    table = table.set_column(table.schema.get_field_index("fault"), schema.FAULT, pa.array(reasons, pa.string()))
    notes = {stage._NOTES: json.dumps({"label.halvings": 1})}
    batch = aligns(stage.repack(batch, table.replace_schema_metadata(notes)))
    told = stage.commit_shard(batch, str(tmp_path / "x")).to_pylist()[0]
    assert (told["quarantined"], told["label.quarantined"], told["align.quarantined"]) == (1, 1, 0)
    store = ShardStore(tmp_path / "x")
    assert store.manifest("s-1").extra["label.halvings"] == 1
    verdicts = judge(store.read("s-1"), Rules())["verdict"].to_pylist()
    assert [i for i, v in enumerate(verdicts) if v == "quarantined"] == [7]


def test_an_input_of_another_length_is_named(tmp_path):
    batch = descriptor(tmp_path, pairs(5)).set_column(3, "rows", pa.array([6]))
    with pytest.raises(UserError, match="holds 5 rows, expected 6"):
        stage.read_shard(batch, str(tmp_path / "store"))
