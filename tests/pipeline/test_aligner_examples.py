"""The search for examples of the aligner leaves out rows on which a model raises an error, and counts them."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xner_ray import schema
from xner_ray.config.load import load_config
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.ner.external_teacher import adopt_model
from xner_ray.pipeline.stages.aligner_examples import make_examples
from xner_ray.storage.fingerprint import hash_file


def test_text_that_is_too_long_for_spacy_gives_no_example(tiny_encoder, tmp_path):
    spacy = pytest.importorskip("spacy")
    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("PERSON")
    nlp.initialize()
    nlp.to_disk(tmp_path / "pipeline")
    teacher = adopt_model(tmp_path / "pipeline", tmp_path / "teacher", {"PERSON": "PER"}, ())
    texts = [f"Anna reads {i} red books in Ulm" for i in range(40)]
    texts[7] = "x" * 1_000_001
    constants = {name: [name] * 40 for name in ("corpus", "domain")} | {"language": ["de"] * 40}
    columns = {**constants, "pair_id": list(range(40)), "source": texts, "target": texts, "corpus_score": [None] * 40}
    shard = tmp_path / "shard.parquet"
    pq.write_table(pa.table(columns, schema=schema.PAIR), shard)
    overrides = [f"out={tmp_path / 'out'}", "aligner.num_examples=20", "aligner.similarity_layer=1"]
    report = make_examples(
        load_config("configs/tiny.yaml", overrides),
        {"de": teacher},
        [ShardDescriptor("s-1", "de", str(shard), 40, hash_file(shard))],
        tiny_encoder,
        tmp_path / "data.npz",
        1,
    )
    ((reason, count),) = report["languages"]["de"]["skipped"].items()
    assert "E088" in reason and count == 1
    examples = [json.loads(x) for x in (tmp_path / "examples.jsonl").read_text("utf-8").splitlines()]
    assert examples and all("x" * 100 not in e["sentence"] for e in examples)
