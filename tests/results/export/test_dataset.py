"""Exports of a run: each format is read back as its users read it, counts add up, and folders are created atomically."""

import json

import pyarrow.parquet as pq
import pytest

from tests.harness.small_run import COPIES
from xner_ray.errors import UserError
from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.export_types import ExportOptions
from xner_ray.text.conll import read_conll
from xner_ray.text.tags import bio2_to_spans

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def all_rows(run, language):
    return pq.read_table(run.datasets[language]).to_pylist()


def tokens_and_tags(rows):
    return sorted((tuple(r["tokens"]), tuple(r["ner_tags"])) for r in rows)


def test_conll_has_all_sentences(run, tmp_path):
    summary = export_run(run, tmp_path / "out", ExportOptions("conll", SHARES, 1))
    assert sum(summary.sentences.values()) == 2 * COPIES
    for language in ("de", "zh"):
        files = sorted((tmp_path / "out" / language).iterdir())
        assert [f.name for f in files] == ["test.conll", "train.conll", "validation.conll"]
        sentences = [{"tokens": s.tokens, "ner_tags": s.tags} for f in files for s in read_conll(f, language)]
        assert tokens_and_tags(sentences) == tokens_and_tags(all_rows(run, language))


def test_flair_has_spaces_after_tokens(run, tmp_path):
    export_run(run, tmp_path / "out", ExportOptions("flair", {"train": 1.0}, 1))
    text = (tmp_path / "out" / "de" / "train.txt").read_text(encoding="utf-8")
    lines = [line.split("\t") for line in text.split("\n\n")[0].splitlines()]
    assert "".join(token + " " * (space == "+") for token, _, space in lines) == "Anna Keller wohnt in Wien. 0"
    assert lines[0] == ["Anna", "B-PER", "+"] and lines[4] == ["Wien", "B-LOC", "-"]
    assert (
        (tmp_path / "out" / "zh" / "train.txt").read_text(encoding="utf-8").startswith("安\tB-PER\t-\n娜\tI-PER\t-\n")
    )


def test_gliner_renames_and_drops_types(run, tmp_path):
    names = {"PER": "person", "LOC": "O"}
    export_run(run, tmp_path / "out", ExportOptions("gliner", {"train": 1.0}, 1, names))
    items = json.loads((tmp_path / "out" / "de" / "train.json").read_text(encoding="utf-8"))
    assert items[0] == {
        "tokenized_text": ["Anna", "Keller", "wohnt", "in", "Wien", ".", "0"],
        "ner": [[0, 1, "person"]],
    }
    assert len(items) == COPIES and {len(item["ner"]) for item in items} == {0, 1}


def test_parquet_has_classes_and_all_columns(run, tmp_path):
    export_run(run, tmp_path / "out", ExportOptions("hf", SHARES, 1))
    files = sorted((tmp_path / "out" / "de").glob("*.parquet"))
    rows = []
    for file in files:
        table = pq.read_table(file)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        assert list(features) == table.column_names
        names = features["ner_tags"]["feature"]["names"]
        assert names == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"] == run.labels("de")
        rows += [{**row, "ner_tags": [names[i] for i in row["ner_tags"]]} for row in table.to_pylist()]
    assert tokens_and_tags(rows) == tokens_and_tags(all_rows(run, "de"))
    before = {f"de-SampleNews-{r['pair_id']}": r for r in all_rows(run, "de")}
    for row in rows:
        assert {k: v for k, v in row.items() if k != "id"}.items() <= before[row["id"]].items()


def test_datasets_loads_class_labels(run, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    export_run(run, tmp_path / "out", ExportOptions("hf", SHARES, 1))
    data = datasets.load_dataset(str(tmp_path / "out"), "zh", cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in data.items()}.keys() == {"train", "validation", "test"}
    feature = data["train"].features["ner_tags"].feature
    assert isinstance(feature, datasets.ClassLabel)
    named = [{**row, "ner_tags": feature.int2str(row["ner_tags"])} for part in data.values() for row in part]
    assert tokens_and_tags(named) == tokens_and_tags(all_rows(run, "zh"))


def test_docbin_has_tokens_text_and_entities(run, tmp_path):
    spacy = pytest.importorskip("spacy")
    export_run(run, tmp_path / "out", ExportOptions("spacy", {"train": 1.0}, 1))
    docs = list(
        spacy.tokens.DocBin().from_disk(tmp_path / "out" / "de" / "train.spacy").get_docs(spacy.blank("de").vocab)
    )
    for doc, row in zip(docs, all_rows(run, "de"), strict=True):
        assert [t.text for t in doc] == row["tokens"] and doc.text == row["target"]
        assert [(e.start, e.end, e.label_) for e in doc.ents] == bio2_to_spans(row["ner_tags"])


def test_split_without_sentences_has_no_file(run, tmp_path):
    export_run(run, tmp_path / "out", ExportOptions("conll", {"train": 1.0}, 1))
    assert [p.name for p in (tmp_path / "out" / "de").iterdir()] == ["train.conll"]


def test_folder_is_created_atomically(run, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    with pytest.raises(UserError) as e:
        export_run(run, tmp_path / "full", ExportOptions("conll", SHARES, 1))
    assert (e.value.file, e.value.key) == (tmp_path / "full", "--out")
    with pytest.raises(UserError, match="--format"):
        export_run(run, tmp_path / "out", ExportOptions("xml", SHARES, 1))
    run.datasets["zh"].write_bytes(b"broken")
    with pytest.raises(Exception, match="Parquet"):
        export_run(run, tmp_path / "out", ExportOptions("conll", SHARES, 1))
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*out*"))
