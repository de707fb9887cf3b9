"""The output folder of a small finished run, written without Ray and training: two languages, students without weights."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.config.load import load_config
from xner_ray.results.run_results import RunResults
from xner_ray.text.tags import label_list
from xner_ray.text.words import tokenize_words

ROOT = Path(__file__).parents[2]
SENTENCES = {
    "de": [("Anna Keller wohnt in Wien.", [(0, 11, "PER"), (21, 25, "LOC")]), ("Die „Zeit“ schweigt, <script>.", [])],
    "zh": [("安娜住在北京。", [(0, 2, "PER"), (4, 6, "LOC")]), ("他 说 “好”。", [])],
}
COPIES = 40


def row(language: str, number: int, text: str, spans: list) -> dict:
    """A row of schema.EXPORTED. The number at the end of the text makes copies distinct."""
    text = f"{text} {number}"
    words = tokenize_words(text, language)
    tags = ["O"] * len(words)
    for start, end, kind in spans:
        inside = [i for i, (a, _) in enumerate(words) if start <= a < end]
        tags[inside[0]] = f"B-{kind}"
        for i in inside[1:]:
            tags[i] = f"I-{kind}"
    entities = [{"start": a, "end": b, "type": kind, "score": 0.5} for a, b, kind in spans]
    return {
        "corpus": "SampleNews",
        "domain": "news",
        "language": language,
        "pair_id": number,
        "corpus_score": None,
        "source": text,
        "target": text,
        "entities": entities,
        "spans": entities,
        "verdict": "kept",
        "projections": [
            {"entity": i, "start": e["start"], "end": e["end"], "score": 0.9} for i, e in enumerate(entities)
        ],
        "tokens": [text[a:b] for a, b in words],
        "ner_tags": tags,
    }


def scores(f1: float) -> dict:
    return {
        "precision": f1,
        "recall": f1,
        "f1": f1,
        "support": 3,
        "types": {"PER": {"precision": f1, "recall": f1, "f1": f1}},
    }


def make_run(out: Path) -> RunResults:
    """Write the run to a new folder."""
    config = load_config(ROOT / "configs" / "tiny.yaml", [f"out={out}"])
    cells = {
        "read": 100,
        "kept": 80,
        "kept_no_entity": 0,
        "dropped": {"overlap": 20, "low_score": 0},
        "quarantined": 0,
    }
    folders: dict = {"students": {}, "datasets": {}, "filtered": str(out / "filter" / "f22")}
    for language, sentences in SENTENCES.items():
        rows = [row(language, i, *sentences[i % 2]) for i in range(COPIES)]
        path = out / "dataset" / language / "f00" / "train.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema.EXPORTED), path)
        summary = {"sentences": COPIES, "entities": COPIES, "without_entity": COPIES // 2}
        (path.parent / "summary.json").write_text(json.dumps(summary))
        student = out / "student" / language / "f11" / "model"
        student.mkdir(parents=True)
        labels = label_list(["LOC", "PER"])
        (student / "config.json").write_text(json.dumps({"id2label": dict(enumerate(labels))}))
        (student / "training.json").write_text(json.dumps({"job": {"seed": 1}, "steps": 7, "tokens": 900}))
        (student / "model.safetensors").write_bytes(b"weights")
        folders["datasets"][language], folders["students"][language] = str(path), str(student)
    (out / "filter" / "f22").mkdir(parents=True)
    (out / "filter" / "f22" / "ledger.json").write_text(json.dumps({"by_language": dict.fromkeys(SENTENCES, cells)}))
    sets = {
        name: {
            "language": x,
            "encoder": "tiny",
            "zero_transfer": scores(10.0),
            "student": scores(20.0),
            "sentences": 2,
            "seeds": [1],
        }
        for name, x in (("german", "de"), ("chinese", "zh"))
    }
    (out / "sample" / "gold").mkdir(parents=True)
    gold = "Anna\tO\nKeller\tO\nwohnt\tO\nin\tO\nWien\tO\n.\tO\n0\tO\n\nNeu\tB-LOC\n\n"  # the first sentence is in the dataset
    (out / "sample" / "gold" / "de.eval.conll").write_text(gold, encoding="utf-8")
    results = {"out": str(out), "folders": folders, "sets": sets, "config": config.model_dump(mode="json")}
    (out / "results.json").write_text(json.dumps(results))
    return RunResults.open(out)
