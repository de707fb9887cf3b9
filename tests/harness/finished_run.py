"""The output folder of a finished run, written without the run. The code of a run filters, commits and counts the rows, and
computes scores on artificial tags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.config import DatasetConfig, RulesConfig
from xner_ray.evaluation.bootstrap import gain, resample, sentence_counts, with_intervals
from xner_ray.evaluation.calibration import reliability
from xner_ray.evaluation.scores import scores
from xner_ray.projection.filters import assign_verdicts
from xner_ray.projection.ledger import Ledger
from xner_ray.projection.sentence_sampling import sample_sentences
from xner_ray.storage.shard_store import ShardStore
from xner_ray.text.decontamination import EvaluationSentences
from xner_ray.text.sentence_keys import text_keys

HELD_OUT = "Ulm misst man."
MARKUP = "<script>document.title='broken'</script> </script><!-- <img src=x onerror=alert(1)> \u2028 &amp;"


def pair(number: int, source: str, target: str, entities=(), projections=(), language="de", corpus="news") -> dict:
    """A row of schema.ALIGNED.

    Args:
        entities: (text, type, score), each at the first position of its text in the source.
        projections: (entity index, text, score), each at the first position of its text in the target.
    """
    spans_of_source = [(source.index(t), source.index(t) + len(t), kind, score) for t, kind, score in entities]
    spans_of_target = [(e, target.index(t), target.index(t) + len(t), score) for e, t, score in projections]
    row = dict.fromkeys(schema.ALIGNED.names)
    row |= {
        "corpus": corpus,
        "domain": corpus,
        "language": language,
        "pair_id": number,
        "source": source,
        "target": target,
    }
    row["entities"] = [dict(zip(("start", "end", "type", "score"), e, strict=True)) for e in spans_of_source]
    row["projections"] = [dict(zip(("entity", "start", "end", "score"), p, strict=True)) for p in spans_of_target]
    return row


def pairs() -> list[dict]:
    """One pair for each verdict, one with markup, one with wide characters, and 40 plain pairs for each of two languages."""
    anna_and_ben = [("Anna", "PER", 0.9), ("Ben", "PER", 0.8)], [(0, "Anna", 0.99), (1, "Ben", 0.98)]
    overlapping = [("AI Lab", "ORG", 0.8), ("KI", "MISC", 0.6)], [(0, "KI-Labor", 0.9), (1, "KI", 0.8)]
    rows = [
        pair(1, "Anna met Ben.", "Anna traf Ben.", *anna_and_ben),
        pair(2, "It rained.", "Es regnete."),
        pair(3, "Kit slept.", "Er schlief.", [("Kit", "PER", 0.7)]),
        pair(4, "Korea won.", "Korea, 韩国 gewann.", [("Korea", "LOC", 0.8)], [(0, "Korea", 0.9), (0, "韩国", 0.6)]),
        pair(5, "AI Lab and KI", "KI-Labor", *overlapping),
        pair(6, "Oslo waits.", "Oslo wartet.", [("Oslo", "LOC", 0.2)], [(0, "Oslo", 0.9)]),
        pair(7, f"{MARKUP} Bonn", f"{MARKUP} Bonn", [("Bonn", "LOC", 0.9)], [(0, "Bonn", 0.9)]),
        pair(8, "𝄞 𝄞 Bach", "𝄞 好 𝄞 Bach", [("Bach", "PER", 0.9)], [(0, "Bach", 0.9)], corpus=MARKUP[:40]),
        pair(9, "Ulm is held out.", HELD_OUT, [("Ulm", "MISC", 0.85)], [(0, "Ulm", 0.9)]),
    ]
    for language in ("de", "zh"):
        for n in range(20, 60):
            rome = [("Rome", "LOC", round(0.3 + n / 100, 2))], [(0, "Rome", 0.9)]
            rows.append(pair(n, f"Ms {n} saw Rome.", f"{n} Rome!", *rome, language, "talks"))
    return rows


def make_run(out: Path, rows: list[dict], **results: Any) -> Path:
    """Write a finished run over these rows.

    Args:
        out: a folder that does not exist.
        rows: of schema.ALIGNED.
        results: keys of results.json that replace or extend the defaults.
    """
    out.mkdir(parents=True)
    rules, ledger = RulesConfig(min_entity_score=0.3), Ledger()
    filtered = out / "filter" / "f1"
    store = ShardStore(filtered)
    shards, files = {}, {}
    for language in dict.fromkeys(row["language"] for row in rows):
        rows_of_language = [row for row in rows if row["language"] == language]
        table = assign_verdicts(
            pa.Table.from_pylist(rows_of_language, schema=schema.ALIGNED),
            rules,
            EvaluationSentences({"de": text_keys(pa.array([HELD_OUT]), nfkc=True)}),
        )
        ledger.count_verdicts(table)
        for cell in table.group_by(["corpus", "domain"]).aggregate([([], "count_all")]).to_pylist():
            ledger.count_read(language, cell["corpus"], cell["domain"], cell["count_all"])
        name = f"{language}-shard-00000"
        shards[name] = store.commit(name, table, "hash").sha256
        files[language] = out / "dataset" / language / "d1" / "train.parquet"
        files[language].parent.mkdir(parents=True)
        summary = sample_sentences(store.files([name]), files[language], DatasetConfig(), 1)
        write(files[language].with_name("summary.json"), summary)
        write(files[language].with_name("parts.json"), {"filter": "f1", "shards": {name: shards[name]}})
    ledger.check()
    write(filtered / "parts.json", {"label": "l1", "rules": rules.model_dump()})
    ledger_tree = {"total": ledger.to_json(), "by_language": ledger.by("language"), "cells": ledger.to_rows()}
    write(filtered / "ledger.json", ledger_tree)
    (out / "work.jsonl").write_text('{"stage": "label", "of": "l1", "seconds": 2.5, "amount": {"pairs": 100}}\n')
    defaults = {
        "name": f"run {MARKUP}",
        "sets": {f"{language} gold": measured(language) for language in files},
        "source_sets": {"en gold": measured("en")["student"]},
        "ledger": ledger.to_json(),
        "seconds": {"label": 2.5, "total": 2.5},
        "out": str(out),
        "folders": {"students": {}, "datasets": {k: str(v) for k, v in files.items()}, "filtered": str(filtered)},
        "plan": [["label", "2 shards"]],
        "config": {"name": MARKUP},
        "made_with": {"finished": "2026-11-22T12:00+00:00", "ray": "2.60"},
    }
    write(out / "results.json", defaults | results)
    return out


def write(path: Path, tree: Any) -> None:
    path.write_text(json.dumps(tree), encoding="utf-8")


def measured(language: str) -> dict[str, Any]:
    """A row of `sets`: 200 sentences with one entity each. The student finds more of them than zero-transfer."""
    gold = [["B-PER"] if i % 3 else ["B-LOC"] for i in range(200)]
    sides, draws = [], []
    for right in (0.6, 0.8):
        confidence = np.random.default_rng(1).random(200)
        predicted = [tags if s < right else ["O"] for tags, s in zip(gold, confidence, strict=True)]
        draws.append(resample(*sentence_counts(gold, predicted), resamples=50))
        bins = reliability(confidence, confidence < right)
        sides.append({**with_intervals(scores(gold, predicted), draws[-1]), "calibration": bins, "sentences": 200})
    gained = gain(*sides, tuple(draws))
    row = {"language": language, "encoder": "tiny", "zero_transfer": sides[0], "student": sides[1], "gain": gained}
    return {**row, "sentences": 200, "seeds": [1]}
