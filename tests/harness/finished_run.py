"""The folder of a finished run without the run: rows are judged, committed and booked by the code that a run uses, and
scores are measured on tags made up here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.config import DatasetConfig, Rules
from xner_ray.evaluation.bootstrap import gain, resample, sentence_counts, with_intervals
from xner_ray.evaluation.calibration import reliability
from xner_ray.evaluation.decontamination import HeldOut, keys_of
from xner_ray.evaluation.scores import scores
from xner_ray.projection.filters import judge
from xner_ray.projection.ledger import Ledger
from xner_ray.projection.sentence_sampling import select
from xner_ray.storage.shard_store import ShardStore

MEASURED = "Ulm misst man."
EVIL = "<script>document.title='broken'</script> </script><!-- <img src=x onerror=alert(1)> \u2028 &amp;"


def pair(number: int, source: str, target: str, entities=(), projections=(), language="de", corpus="news") -> dict:
    """A row of schema.ALIGNED; entities (text, type, score) are found in the source, projections (entity, text, score) in
    the target, each where its text occurs first."""
    found = [(source.index(t), source.index(t) + len(t), kind, score) for t, kind, score in entities]
    spans = [(e, target.index(t), target.index(t) + len(t), score) for e, t, score in projections]
    row = dict.fromkeys(schema.ALIGNED.names)
    row |= {
        "corpus": corpus,
        "domain": corpus,
        "language": language,
        "pair_id": number,
        "source": source,
        "target": target,
    }
    row["entities"] = [dict(zip(("start", "end", "type", "score"), e, strict=True)) for e in found]
    row["projections"] = [dict(zip(("entity", "start", "end", "score"), p, strict=True)) for p in spans]
    return row


def pairs() -> list[dict]:
    """One pair a verdict, an evil one, a wide one, and two more languages' worth of plain ones."""
    both = [("Anna", "PER", 0.9), ("Ben", "PER", 0.8)], [(0, "Anna", 0.99), (1, "Ben", 0.98)]
    clash = [("AI Lab", "ORG", 0.8), ("KI", "MISC", 0.6)], [(0, "KI-Labor", 0.9), (1, "KI", 0.8)]
    rows = [
        pair(1, "Anna met Ben.", "Anna traf Ben.", *both),
        pair(2, "It rained.", "Es regnete."),
        pair(3, "Kit slept.", "Er schlief.", [("Kit", "PER", 0.7)]),
        pair(4, "Korea won.", "Korea, 韩国 gewann.", [("Korea", "LOC", 0.8)], [(0, "Korea", 0.9), (0, "韩国", 0.6)]),
        pair(5, "AI Lab and KI", "KI-Labor", *clash),
        pair(6, "Oslo waits.", "Oslo wartet.", [("Oslo", "LOC", 0.2)], [(0, "Oslo", 0.9)]),
        pair(7, f"{EVIL} Bonn", f"{EVIL} Bonn", [("Bonn", "LOC", 0.9)], [(0, "Bonn", 0.9)]),
        pair(8, "𝄞 𝄞 Bach", "𝄞 好 𝄞 Bach", [("Bach", "PER", 0.9)], [(0, "Bach", 0.9)], corpus=EVIL[:40]),
        pair(9, "Ulm is held out.", MEASURED, [("Ulm", "MISC", 0.85)], [(0, "Ulm", 0.9)]),
    ]
    for language in ("de", "zh"):
        for n in range(20, 60):
            rome = [("Rome", "LOC", round(0.3 + n / 100, 2))], [(0, "Rome", 0.9)]
            rows.append(pair(n, f"Ms {n} saw Rome.", f"{n} Rome!", *rome, language, "talks"))
    return rows


def make_run(out: Path, rows: list[dict], **results: Any) -> Path:
    """Write a finished run over these rows; more keys of results.json can be given."""
    out.mkdir(parents=True)
    rules, ledger = Rules(min_entity_score=0.3), Ledger()
    store, dataset = ShardStore(out / "judged" / "j1"), out / "dataset" / "d1"
    shards, files = {}, {}
    for language in dict.fromkeys(row["language"] for row in rows):
        mine = [row for row in rows if row["language"] == language]
        table = judge(
            pa.Table.from_pylist(mine, schema=schema.ALIGNED), rules, HeldOut({"de": keys_of(pa.array([MEASURED]))})
        )
        ledger.add(table)
        for cell in table.group_by(["corpus", "domain"]).aggregate([([], "count_all")]).to_pylist():
            ledger.read(language, cell["corpus"], cell["domain"], cell["count_all"])
        name = f"{language}-shard-00000"
        shards[name] = store.commit(name, table, "hash").sha256
        files[language] = dataset / language / "train.parquet"
        files[language].parent.mkdir(parents=True)
        told = select(store.files([name]), files[language], DatasetConfig(), 1)
        write(files[language].with_name("summary.json"), told)
    ledger.check()
    write(out / "judged" / "j1" / "parts.json", {"label": "l1", "rules": rules.model_dump()})
    write(dataset / "parts.json", {"judged": "j1", "shards": shards})
    books = {"total": ledger.to_json(), "by_language": ledger.by("language"), "cells": ledger.to_rows()}
    write(dataset / "ledger.json", books)
    (out / "work.jsonl").write_text('{"stage": "label", "of": "l1", "seconds": 2.5, "amount": {"pairs": 100}}\n')
    told = {
        "name": f"run {EVIL}",
        "sets": {f"{language} gold": measured(language) for language in files},
        "english": {"en gold": measured("en")["student"]},
        "ledger": ledger.to_json(),
        "seconds": {"label": 2.5, "total": 2.5},
        "out": str(out),
        "folders": {"students": {}, "datasets": {k: str(v) for k, v in files.items()}},
        "plan": [["label", "all of it"]],
        "config": {"name": EVIL},
        "made_with": {"finished": "2026-11-22T12:00+00:00", "ray": "2.60"},
    }
    write(out / "results.json", told | results)
    return out


def write(path: Path, tree: Any) -> None:
    path.write_text(json.dumps(tree), encoding="utf-8")


def measured(language: str) -> dict[str, Any]:
    """A row of `sets`: 200 sentences of one entity, which the student finds more often."""
    gold = [["B-PER"] if i % 3 else ["B-LOC"] for i in range(200)]
    sides, draws = [], []
    for right in (0.6, 0.8):
        sure = np.random.default_rng(1).random(200)
        predicted = [tags if s < right else ["O"] for tags, s in zip(gold, sure, strict=True)]
        draws.append(resample(*sentence_counts(gold, predicted), resamples=50))
        bins = reliability(sure, sure < right)
        sides.append({**with_intervals(scores(gold, predicted), draws[-1]), "calibration": bins, "sentences": 200})
    moved = gain(*sides, tuple(draws))
    row = {"language": language, "encoder": "tiny", "zero_transfer": sides[0], "student": sides[1], "gain": moved}
    return {**row, "sentences": 200, "seeds": [1]}
