"""The actors of the labeling graph, called without Ray: read, tokenize, label, align, commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.errors import UserError
from xner_ray.labeling import actors
from xner_ray.labeling.actors import LabelingJob
from xner_ray.labeling.isolation import SubprocessWorker
from xner_ray.labeling.shard_functions import LabelingModels, ShardFunctions
from xner_ray.observability.shard_timer import LogContext
from xner_ray.projection.filters import assign_verdicts
from xner_ray.storage.fingerprint import hash_file
from xner_ray.storage.shard_store import Manifest, ShardStore

Actor = Callable[[pa.Table], pa.Table]


def sentence_pairs(rows: int) -> pa.Table:
    constants = {name: [name] * rows for name in ("corpus", "domain")} | {"language": ["de"] * rows}
    texts = {
        "source": [f"Anna met {i} friends in Vienna" for i in range(rows)],
        "target": [f"Anna traf {i} Freunde in Wien" for i in range(rows)],
    }
    columns = {**constants, "pair_id": list(range(rows)), **texts, "corpus_score": [None] * rows}
    return pa.table(columns, schema=schema.PAIR)


def descriptor(tmp_path: Path, table: pa.Table, name: str = "s-1") -> dict[str, Any]:
    """Write a shard; its descriptor."""
    path = tmp_path / f"{name}.in"
    pq.write_table(table, path)
    return {"shard": name, "language": "de", "path": str(path), "rows": len(table), "input_hash": hash_file(path)}


def chunk(*descriptors: dict[str, Any]) -> pa.Table:
    """A row of the graph's input."""
    return pa.table({"shards": [list(descriptors)]})


@pytest.fixture(scope="module")
def job(tiny_encoder) -> LabelingJob:
    folder = str(tiny_encoder)
    models = LabelingModels({"de": folder}, folder, "en", True, 4096, "auto", 1)
    return LabelingJob("unused", ShardFunctions(), models, 0.01, LogContext("test"))


@contextmanager
def closing(*function_actors):
    """Kill the child processes of actors at the end."""
    try:
        yield function_actors
    finally:
        for actor in function_actors:
            actor.worker.close()


@pytest.fixture(scope="module")
def label_and_align(job) -> Iterator[tuple[actors.LabelStep, actors.AlignStep]]:
    """The two steps, each with a child process of its own."""
    label, align = (SubprocessWorker(f, job.models) for f in (job.functions.label, job.functions.align))
    yield actors.LabelStep(job, label), actors.AlignStep(job, align)
    label.close()
    align.close()


def label_shard(tmp_path: Path, store: Path, *function_actors: Actor) -> Manifest:
    """Read a shard of 50 rows, pass it through actors, and commit it."""
    batch = actors.read_shard(descriptor(tmp_path, sentence_pairs(50)), str(store))
    for actor in function_actors:
        batch = actor(batch)
    assert schema.PRETOKENIZED.name not in actors.unpack(batch)[2].column_names
    actors.commit_shard(batch, str(store))
    return ShardStore(store).manifest("s-1")


def test_manifests_note_precision_and_kind_of_gpu(job):
    real = replace(job, models=replace(job.models, null_model=False, precision="bf16"))
    assert actors.LabelStep(replace(real, accelerator_type="A100"), None).notes == {
        "precision": "bf16",
        "accelerator_type": "A100",
    }
    assert actors.LabelStep(real, None).notes == {"precision": "bf16"}
    assert actors.LabelStep(job, None).notes == {}


def test_shard_is_labeled_aligned_and_committed(tmp_path, label_and_align):
    root = str(tmp_path / "store")
    batch = actors.read_shard(descriptor(tmp_path, sentence_pairs(50)), root)
    assert list(ShardStore(root).running()) == ["s-1"]
    for actor in label_and_align:
        batch = actor(batch)
    row = actors.commit_shard(batch, root).to_pylist()[0]
    table = ShardStore(root).read("s-1", verify=True)
    assert table.schema.equals(schema.ALIGNED)
    assert table.select(schema.PAIR.names).equals(sentence_pairs(50))
    extra = ShardStore(root).manifest("s-1").extra
    assert not [key for key in extra if "seconds" in key]  # a manifest is the same in every run
    assert extra["label.tokens"] > 50 and extra["align.tokens"] > extra["label.tokens"]
    assert row == {
        "shard": "s-1",
        "undone": "",
        "language": "de",
        "rows": 50,
        "entities": len(table["entities"].combine_chunks().values),
        "quarantined": 0,
        "tokenize.quarantined": 0,
        "label.quarantined": 0,
        "align.quarantined": 0,
        "label.tokens": extra["label.tokens"],
        "align.tokens": extra["align.tokens"],
    }
    assert row["entities"] > 25 and len(table["projections"].combine_chunks().values)
    assert ShardStore(root).running() == {} and extra["quarantined"] == 0


def test_same_input_gives_same_bytes(tmp_path, label_and_align):
    first = label_shard(tmp_path, tmp_path / "a", *label_and_align)
    second = label_shard(tmp_path, tmp_path / "b", *label_and_align)
    assert (first.sha256, first.extra) == (second.sha256, second.extra)


def test_one_actor_for_all_steps_gives_same_bytes(tmp_path, job, label_and_align):
    whole = replace(job, store=str(tmp_path / "whole"))
    shards = [descriptor(tmp_path, sentence_pairs(50), name) for name in ("s-0", "s-1")]
    with closing(actors.ReadLabelAlignCommit(whole)) as (actor,):
        rows = list(actor(chunk(*shards)))
    second = ShardStore(whole.store).manifest("s-1")
    first = label_shard(tmp_path, tmp_path / "split", *label_and_align)
    assert [(row["shard"].to_pylist(), row["rows"].to_pylist()) for row in rows] == [(["s-0"], [50]), (["s-1"], [50])]
    assert (first.sha256, first.extra) == (second.sha256, second.extra)
    assert not ShardStore(whole.store).running()


def test_pretokenized_shard_gives_same_bytes(tmp_path, job, label_and_align):
    job = replace(job, pretokenized=True, store=str(tmp_path / "b"))
    with closing(actors.PrepareShards(job), actors.LabelAndAlign(job)) as (prepare, models):
        (batch,) = prepare(chunk(descriptor(tmp_path, sentence_pairs(50))))
        batch = models(batch)
    assert schema.PRETOKENIZED.name not in actors.unpack(batch)[2].column_names
    actors.commit_shard(batch, job.store)
    second = ShardStore(job.store).manifest("s-1")
    first = label_shard(tmp_path, tmp_path / "a", *label_and_align)
    assert (first.sha256, first.extra) == (second.sha256, second.extra)


def test_faults_reach_the_verdicts_and_notes_the_manifest(tmp_path, label_and_align):
    label, align = label_and_align
    batch = label(actors.read_shard(descriptor(tmp_path, sentence_pairs(20)), str(tmp_path / "x")))
    _, _, table = actors.unpack(batch)
    faults = [None] * 20
    faults[7] = "label: ValueError: x"
    table = table.set_column(table.schema.get_field_index("fault"), schema.FAULT, pa.array(faults, pa.string()))
    notes = {actors._NOTES: json.dumps({"label.oom_backoffs": 1})}
    batch = align(actors.repack(batch, table.replace_schema_metadata(notes)))
    row = actors.commit_shard(batch, str(tmp_path / "x")).to_pylist()[0]
    assert (row["quarantined"], row["label.quarantined"], row["align.quarantined"]) == (1, 1, 0)
    store = ShardStore(tmp_path / "x")
    assert store.manifest("s-1").extra["label.oom_backoffs"] == 1
    verdicts = assign_verdicts(store.read("s-1"), RulesConfig())["verdict"].to_pylist()
    assert [i for i, verdict in enumerate(verdicts) if verdict == "quarantined"] == [7]


def test_wrong_number_of_rows_is_an_error(tmp_path):
    shard = {**descriptor(tmp_path, sentence_pairs(5)), "rows": 6}
    with pytest.raises(UserError, match="holds 5 rows, expected 6") as e:
        actors.read_shard(shard, str(tmp_path / "store"))
    assert e.value.file == str(tmp_path / "s-1.in") and e.value.remedy
