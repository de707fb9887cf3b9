"""Whether the harness sees what a redesign must not change."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from .record_results import differences, main, record_run, spans_in

LISTS = pa.list_(pa.struct([("start", pa.int32()), ("type", pa.string())]))
SCHEMA = pa.schema(
    [
        ("language", pa.string()),
        ("corpus", pa.string()),
        ("pair_id", pa.int64()),
        ("source", pa.string()),
        ("projections", LISTS),
    ]
)


def rows(language: str, first: int) -> list[dict[str, Any]]:
    return [
        {
            "language": language,
            "corpus": "News",
            "pair_id": number,
            "source": f"sentence {number}",
            "projections": [{"start": number, "type": "PER"}] if number % 2 else [],
        }
        for number in range(first, first + 4)
    ]


def make_run(out: Path, tables: dict[str, pa.Table], f1: float = 50.0) -> dict[str, Any]:
    """Write a finished run of labelled shards, by their name; return its record."""
    score = {"precision": 1.0, "recall": 2.0, "f1": f1}
    results = {"sets": {"german": {"zero_transfer": score, "student": score}}, "ledger": {"read": 8, "kept": 8}}
    cells = [{"language": "de", "corpus": "News", "domain": "news", "counts": {"read": 8}}]
    (out / "dataset").mkdir(parents=True)
    (out / "results.json").write_text(json.dumps(results))
    (out / "dataset" / "ledger.json").write_text(json.dumps({"cells": cells, "by_language": {"de": {"read": 8}}}))
    (out / "label" / "manifest").mkdir(parents=True)
    for name, table in tables.items():
        pq.write_table(table, out / "label" / f"{name}.parquet")
        (out / "label" / "manifest" / f"{name}.json").write_text(json.dumps({"file": f"{name}.parquet"}))
    return record_run(out)


@pytest.fixture
def shards() -> dict[str, pa.Table]:
    return {f"de-{first}": pa.Table.from_pylist(rows("de", first), SCHEMA) for first in (0, 4)}


def changed(shards: dict[str, pa.Table], change: Callable[[list[dict[str, Any]]], object]) -> dict[str, pa.Table]:
    cells = shards["de-0"].to_pylist()
    change(cells)
    return shards | {"de-0": pa.Table.from_pylist(cells, SCHEMA)}


def test_other_file_names_make_no_difference(tmp_path, shards):
    old = make_run(tmp_path / "a", shards)
    new = make_run(tmp_path / "b", {f"x{7 - i}": table for i, table in enumerate(shards.values())})
    assert differences(old, new, {}) == (6 + 7 + 2 * 13, [])  # scores, ledger, rows and columns of two shards


def test_a_changed_cell(tmp_path, shards):
    old = make_run(tmp_path / "a", shards)
    new = make_run(tmp_path / "b", changed(shards, lambda cells: cells[1]["projections"][0].update(start=9)))
    _, lines = differences(old, new, {})
    assert len(lines) == 2
    assert all("/tables/labelled/de/News/0/columns/projections.start/digest" in line for line in lines)


def test_another_order_of_rows(tmp_path, shards):
    old = make_run(tmp_path / "a", shards)
    new = make_run(tmp_path / "b", changed(shards, lambda cells: cells.insert(1, cells.pop())))
    _, lines = differences(old, new, {})
    parts = [line.split(": ")[1].split("/")[-2:] for line in lines]
    assert sorted(parts) == [[c, "digest"] for c in ("pair_id", "projections.start", "projections.type", "source")]


def test_renamed_columns(tmp_path, shards):
    old = make_run(tmp_path / "a", shards)
    names = {"projections": "found", "source": "english"}
    tables = {name: table.rename_columns([names.get(x, x) for x in SCHEMA.names]) for name, table in shards.items()}
    new = make_run(tmp_path / "b", {name: t.append_column("verdict", t["corpus"]) for name, t in tables.items()})
    new["tables"]["labelled"] = new["tables"].pop("judged")
    for shard in new["tables"]["labelled"].values():
        del shard["columns"]["verdict"]
    _, lines = differences(old, new, {})
    assert "missing: /tables/labelled/de/News/0/columns/projections.start" in lines
    assert "new: /tables/labelled/de/News/4/columns/english" in lines
    assert len(lines) == 2 * 2 * 3
    assert differences(old, new, names)[1] == []


def test_a_renamed_field_of_a_column(tmp_path, shards):
    old, new = make_run(tmp_path / "a", shards), make_run(tmp_path / "b", shards)
    columns = new["tables"]["labelled"]["de/News/0"]["columns"]
    columns["projections.kind"] = columns.pop("projections.type")
    assert len(differences(old, new, {})[1]) == 2
    assert differences(old, new, {"projections.type": "projections.kind"})[1] == [
        "missing: /tables/labelled/de/News/4/columns/projections.kind",
        "new: /tables/labelled/de/News/4/columns/projections.type",
    ]


def test_a_missing_shard(tmp_path, shards):
    old = make_run(tmp_path / "a", shards)
    new = make_run(tmp_path / "b", {"de-4": shards["de-4"]})
    assert differences(old, new, {})[1] == ["missing: /tables/labelled/de/News/0"]


def test_a_file_that_no_manifest_names_is_left_out(tmp_path, shards):
    make_run(tmp_path, shards)
    pq.write_table(shards["de-0"], tmp_path / "label" / "de-0.killed.parquet")
    assert set(record_run(tmp_path)["tables"]["labelled"]) == {"de/News/0", "de/News/4"}


def test_a_folder_of_two_runs_is_refused(tmp_path, shards):
    with pytest.raises(SystemExit, match="begin with the same row"):
        make_run(tmp_path, {**shards, "copy": shards["de-0"]})


def test_compare_tells_and_exits(tmp_path, shards, capsys):
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, f1 in zip(files, (50.0, 50.1), strict=True):
        file.write_text(json.dumps(make_run(tmp_path / file.stem, shards, f1)))
    assert main(["compare", str(files[0]), str(files[0])]) == 0
    assert capsys.readouterr().out == "39 values compared, 0 differences\n"
    assert main(["compare", *map(str, files)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "changed: /scores/german/zero_transfer/f1: 50.0 -> 50.1",
        "changed: /scores/german/student/f1: 50.0 -> 50.1",
        "39 values compared, 2 differences",
    ]


def test_spans_that_are_lost_and_new(tmp_path):
    file = tmp_path / "de.conll"
    file.write_text("Anna\tB-PER\nKeller\tI-PER\nin\tO\nWien\tB-LOC\n\n\tO\nRom\tB-LOC\nAnna\tB-PER\n\n")
    old = spans_in(file)
    assert old == [[0, 0, 2, "PER"], [0, 3, 4, "LOC"], [1, 1, 2, "LOC"], [1, 2, 3, "PER"]]
    count, lines = differences(old, [*old[:2], [1, 1, 3, "LOC"]], {}, "spans")
    assert count == 4
    assert lines == [
        'missing: spans [1, 1, 2, "LOC"]',
        'missing: spans [1, 2, 3, "PER"]',
        'new: spans [1, 1, 3, "LOC"]',
    ]
    assert differences(old, old[::-1], {}, "spans")[1] == ["another order: spans"]
