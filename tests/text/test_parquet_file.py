"""Small Parquet files that stand for much text, and files with bad values, are errors; memory stays small."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xner_ray.corpora.readers.parquet_reader import ROWS, read_parquet
from xner_ray.errors import UserError
from xner_ray.text import parquet_file
from xner_ray.text.gold_parquet import read_rows

MEMORY = 3 << 30


def repeated(text: str, rows: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))


def write(path: Path, columns: dict[str, pa.Array], **options) -> str:
    pq.write_table(pa.table(columns), path, compression="zstd", store_schema=False, **options)
    return str(path)


BIG = "x" * (2 << 20)
BOMBS = {
    "columns": lambda: {"source": repeated(BIG, 8192), "target": repeated("y", 8192)},
    "struct": lambda: {
        "translation": pa.StructArray.from_arrays([repeated(BIG, 8192), repeated("y", 8192)], ["en", "de"])
    },
    "rows": lambda: {"source": repeated("x", 1 << 22), "target": repeated("y", 1 << 22)},
    "gold": lambda: {
        "tokens": pa.ListArray.from_arrays(pa.array(range(8193), pa.int32()), repeated(BIG, 8192)),
        "ner_tags": pa.ListArray.from_arrays(pa.array(range(8193), pa.int32()), repeated("O", 8192)),
    },
}
READ = (
    "import sys\nfrom xner_ray.corpora.readers.parquet_reader import read_parquet\n"
    "from xner_ray.text.gold_parquet import read_rows\n"
    "list(read_parquet(sys.argv[2], 'en', 'de', 'k')) if sys.argv[1] != 'gold' else read_rows(sys.argv[2])"
)


@pytest.mark.parametrize("kind", BOMBS)
def test_file_that_asks_for_gigabytes_is_an_error(kind, tmp_path):
    path = write(tmp_path / "c.parquet", BOMBS[kind]())
    assert Path(path).stat().st_size < 40_000

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    command = [sys.executable, "-c", READ, kind, path]
    run = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit, check=False, timeout=120)
    assert run.returncode == 1 and "UserError" in run.stderr and "remove the file" in run.stderr, run.stderr


def test_row_group_that_is_too_large_is_an_error(tmp_path, monkeypatch):
    path = write(tmp_path / "c.parquet", {"source": pa.array(["a b"] * 9), "target": pa.array(["c"] * 9)})
    monkeypatch.setattr(parquet_file, "MAX_ROW_GROUP_BYTES", 10)
    with pytest.raises(UserError, match="row group 0") as caught:
        list(read_parquet(path, "en", "de", "corpora.c.path"))
    assert caught.value.key == "corpora.c.path" and "row_group_size" in caught.value.remedy


def test_long_texts_come_in_small_chunks(tmp_path):
    texts = ["x" * 1_000_000 + str(i) for i in range(200)]
    path = write(tmp_path / "c.parquet", {"source": pa.array(texts), "target": pa.array(["y"] * 200)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_file, "BOMB_RATIO", 10**9)
        chunks = list(read_parquet(path, "en", "de", "k"))
    assert len(chunks) == 3 and [x.decode() for c in chunks for x in c[0].to_pylist()] == texts


def test_rows_keep_their_order_over_chunks_and_row_groups(tmp_path):
    texts = [f"text {i}" if i % 7 else None for i in range(3 * ROWS)]
    sides = [{"en": x, "de": f"{x}!"} for x in texts]
    path = write(tmp_path / "c.parquet", {"translation": pa.array(sides)}, row_group_size=ROWS - 5)
    chunks = list(read_parquet(path, "en", "de", "k"))
    assert [x and x.decode() for c in chunks for x in c[0].to_pylist()] == texts


def test_bytes_that_are_not_utf8_are_rows_and_no_error(tmp_path):
    path = write(tmp_path / "c.parquet", {"source": pa.array([b"a", b"\xff"]), "target": pa.array([b"b", b"c"])})
    (chunk,) = read_parquet(path, "en", "de", "k")
    assert chunk[0].to_pylist() == [b"a", b"\xff"]


def test_column_that_is_no_text_is_an_error(tmp_path):
    path = write(tmp_path / "c.parquet", {"source": pa.array([1]), "target": pa.array(["c"])})
    with pytest.raises(UserError, match="column source holds int64"):
        list(read_parquet(path, "en", "de", "k"))


@pytest.mark.parametrize(
    ("tokens", "tags", "problem"),
    [
        ([None, ["a"]], [["O"], ["O"]], "row 1 is null"),
        ([["a"], [None]], [["O"], ["O"]], "row 2 has a null"),
        ([["a"]], [[None]], "null"),
        ([[1]], [["O"]], "lists of int64"),
        ([[b"\xff"]], [["O"]], "no text"),
    ],
)
def test_gold_with_a_bad_row_is_an_error(tmp_path, tokens, tags, problem):
    path = write(tmp_path / "g.parquet", {"tokens": pa.array(tokens), "ner_tags": pa.array(tags)})
    with pytest.raises(UserError, match=problem):
        read_rows(path)


def test_negative_class_is_an_error(tmp_path):
    features = b'{"info": {"features": {"ner_tags": [{"names": ["O", "B-X"]}]}}}'
    table = pa.table({"tokens": [["a"]], "ner_tags": [[-1]]}).replace_schema_metadata({b"huggingface": features})
    pq.write_table(table, tmp_path / "g.parquet")
    with pytest.raises(UserError, match="row 1 has class -1"):
        read_rows(tmp_path / "g.parquet")


@pytest.mark.parametrize("metadata", [b"no json", b"[]", b'{"info": 1}', b'{"info": {"features": {"ner_tags": [1]}}}'])
def test_metadata_without_names_is_an_error(tmp_path, metadata):
    table = pa.table({"tokens": [["a"]], "ner_tags": [[0]]}).replace_schema_metadata({b"huggingface": metadata})
    pq.write_table(table, tmp_path / "g.parquet")
    with pytest.raises(UserError, match="classes without names"):
        read_rows(tmp_path / "g.parquet")


@pytest.mark.parametrize("end", [0, 4, 40, -1, -9])
def test_truncated_file_is_an_error(tmp_path, end):
    path = write(tmp_path / "c.parquet", {"source": pa.array(["a"] * 100), "target": pa.array(["b"] * 100)})
    Path(path).write_bytes(Path(path).read_bytes()[:end])
    with pytest.raises(UserError, match="as Parquet"):
        list(read_parquet(path, "en", "de", "k"))
