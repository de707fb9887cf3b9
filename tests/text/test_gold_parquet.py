"""Gold in Parquet: files of `datasets` and of the export, and files that are errors."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.harness.small_run import make_run
from xner_ray.errors import UserError
from xner_ray.results.export.dataset import export_run
from xner_ray.results.export.export_types import ExportOptions
from xner_ray.text.conll import read_conll

NAMES = ["O", "B-person", "I-person", "B-place"]


def write(path, tokens, tags, features=None, column="ner_tags"):
    table = pa.table({"tokens": tokens, column: tags})
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}) if features else table, path)
    return path


@pytest.mark.parametrize(
    "inner", [{"feature": {"names": NAMES, "_type": "ClassLabel"}, "_type": "List"}, [{"names": NAMES}]]
)
def test_class_numbers_become_tags(tmp_path, inner):
    features = {"info": {"features": {"ner_tags": inner}}}
    path = write(tmp_path / "g.parquet", [["Anna", "Bo", "in", "Wien"], []], [[1, 2, 0, 3], []], features)
    (one,) = read_conll(path, "de", {"person": "PER", "place": "LOC"})
    assert one.tokens == ["Anna", "Bo", "in", "Wien"] and one.tags == ["B-PER", "I-PER", "O", "B-LOC"]


def test_string_tags_are_read(tmp_path):
    path = write(tmp_path / "g.parquet", [["Wien", "ist"]], [["B-LOC", "O"]], column="tags")
    assert read_conll(path, types=["PER"])[0].tags == ["O", "O"]


def test_file_of_datasets_is_read(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=NAMES)),
        }
    )
    data = datasets.Dataset.from_dict({"tokens": [["Bo", "ging"]], "ner_tags": [[1, 0]]}, features=features)
    data.to_parquet(str(tmp_path / "g.parquet"))
    assert read_conll(tmp_path / "g.parquet")[0].tags == ["B-person", "O"]


def test_export_is_read(tmp_path):
    run = make_run(tmp_path / "run")
    export_run(run, tmp_path / "out", ExportOptions("hf", {"train": 1.0}, 1))
    rows = pq.read_table(run.datasets["de"]).to_pylist()
    found = read_conll(tmp_path / "out" / "de" / "train.parquet", "de")
    assert [(s.tokens, s.tags) for s in found] == [(r["tokens"], r["ner_tags"]) for r in rows]


@pytest.mark.parametrize(
    ("tokens", "tags", "column", "problem"),
    [
        ([["a"]], [[1]], "ner_tags", "classes without names"),
        ([["a"]], [["B-X", "O"]], "ner_tags", "1 words and 2 tags"),
        ([["a"]], [["I-X"]], "ner_tags", "continues nothing"),
        ([["a"]], [["X"]], "ner_tags", "not a BIO2 tag"),
        ([["a"]], [["O"]], "labels", "no column of lists"),
        ([[]], [[]], "ner_tags", "no (sentence|column)|classes without"),
    ],
)
def test_bad_table_is_an_error(tmp_path, tokens, tags, column, problem):
    with pytest.raises(UserError, match=problem):
        read_conll(write(tmp_path / "g.parquet", tokens, tags, column=column))


@pytest.mark.parametrize("wrap", [pa.large_list, lambda kind: pa.list_(kind, 2)])
def test_other_kinds_of_lists_are_read(tmp_path, wrap):
    table = pa.table(
        {
            "tokens": pa.array([["in", "Wien"]], wrap(pa.large_string())),
            "ner_tags": pa.array([["O", "B-LOC"]], wrap(pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "g.parquet")
    assert read_conll(tmp_path / "g.parquet")[0].tags == ["O", "B-LOC"]


@pytest.mark.parametrize(
    ("tokens", "tags", "key", "problem"),
    [
        ([["a"], None], [[0], [0]], "tokens", "row 2 is null"),
        ([["a"], ["b"]], [[0], None], "ner_tags", "row 2 is null"),
        ([["a", None]], [[0, 0]], "tokens", "row 1 has a null at position 2"),
        ([["a", "b"]], [[0, None]], "ner_tags", "row 1 has a null at position 2"),
        ([["a"], ["b"]], [[0], [-1]], "ner_tags", "row 2 has class -1.*hidden"),
        ([["a"], ["b"]], [[0], [4]], "ner_tags", "row 2 has class 4, but the file names 4"),
        ([["a", ""]], [[0, 0]], "tokens", "row 1 .* empty"),
    ],
)
def test_bad_values_are_errors_with_row_and_column(tmp_path, tokens, tags, key, problem):
    features = {"info": {"features": {"ner_tags": [{"names": NAMES}]}}}
    with pytest.raises(UserError, match=problem) as error:
        read_conll(write(tmp_path / "g.parquet", tokens, tags, features))
    assert error.value.key == key and error.value.file == tmp_path / "g.parquet" and error.value.remedy


def test_other_file_is_an_error(tmp_path):
    (tmp_path / "g.parquet").write_text("Anna\tO\n")
    with pytest.raises(UserError, match="as Parquet"):
        read_conll(tmp_path / "g.parquet")
