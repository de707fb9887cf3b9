"""The table of a study: a row for each cell, evaluation set and entity type, as Parquet and CSV.

Figures and pages need this table alone, so a CSV file in a repository suffices to draw them again.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.storage.atomic import write_bytes
from xner_ray.workflows.study.grid import ALL, Cell

SCHEMA = pa.schema(
    [
        ("study", pa.string()),
        ("setting", pa.string()),
        ("seed", pa.int32()),
        ("language", pa.string()),
        ("encoder", pa.string()),
        ("schedule", pa.string()),
        ("loss", pa.string()),  # null for zero-transfer, as are all values of the training
        ("gamma", pa.float32()),
        ("frozen_layers", pa.int32()),
        ("corpora", pa.string()),  # the corpora of the training sentences, separated by spaces
        ("train_sentences", pa.int32()),  # projected ones only
        ("train_without_entity", pa.int32()),
        ("eval_set", pa.string()),
        ("eval_sentences", pa.int32()),
        ("type", pa.string()),  # `all` for all types together
        ("train_entities", pa.int32()),  # of this type
        ("precision", pa.float64()),  # percent, like recall and f1
        ("recall", pa.float64()),
        ("f1", pa.float64()),
        ("support", pa.int32()),  # gold entities of this type in the evaluation set
    ]
)
MEASURES = ("precision", "recall", "f1", "train_entities", "train_sentences")


def cell_rows(study: str, cell: Cell, config: Config, result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of one cell.

    Args:
        study: the name of the study.
        cell: the cell.
        config: the config of the cell.
        result: the content of its file, see `study_task.train_cell`.
    """
    training, data = config.student.training, result["data"]
    corpora = config.dataset.corpora or list(dict.fromkeys(c.name for c in config.corpora_of(cell.language)))
    common: dict[str, Any] = {"study": study, "setting": cell.setting, "seed": cell.seed, "language": cell.language}
    common |= {"encoder": config.student.encoder, "schedule": config.student.schedule}
    if data:
        common |= {"loss": training.loss, "frozen_layers": training.num_frozen_layers, "corpora": " ".join(corpora)}
        common |= {"gamma": None if training.loss == "cross_entropy" else training.gamma}
        common |= {"train_sentences": data["sentences"], "train_without_entity": data["without_entity"]}
    entities = data["entities"] if data else {}
    for name, scores in result["sets"].items():
        for kind, row in {ALL: scores, **scores["types"]}.items():
            number = (sum(entities.values()) if kind == ALL else entities.get(kind, 0)) if data else None
            measured = {key: row[key] for key in ("precision", "recall", "f1", "support")}
            of_row = {"eval_set": name, "eval_sentences": scores["sentences"], "type": kind, "train_entities": number}
            yield common | of_row | measured


def table_of(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return the table of the rows of all cells."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=SCHEMA)


def write_table(table: pa.Table, path: Path) -> Path:
    """Write a table atomically, as Parquet or CSV by the suffix of the path."""
    path = path.absolute()
    sink = io.BytesIO()
    if path.suffix == ".csv":
        options = pa_csv.WriteOptions(quoting_style="needed")
        pa_csv.write_csv(table.cast(_csv_schema(table.schema)), sink, options)
    else:
        pq.write_table(table, sink)
    write_bytes(path, sink.getvalue())
    return path


def _csv_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema with float64 for float32, so that a gamma such as 4.0 is written with few digits."""
    return pa.schema([pa.field(f.name, pa.float64() if f.type == pa.float32() else f.type) for f in schema])


def read_table(path: Path) -> pa.Table:
    """Read a file that `write_table` wrote.

    Raises:
        UserError: no such file, or another content.
    """
    try:
        if path.suffix == ".csv":
            types = pa_csv.ConvertOptions(column_types=SCHEMA, strings_can_be_null=True)
            table = pa_csv.read_csv(path, convert_options=types)
        else:
            table = pq.read_table(path)
        return table.select(SCHEMA.names).cast(SCHEMA)
    except FileNotFoundError:
        raise UserError("no such file", file=path, remedy="run the study first: xner study --help") from None
    except (pa.ArrowInvalid, KeyError) as e:
        problem = f"is not the table of a study: {str(e).splitlines()[0]}"
        raise UserError(problem, file=path, remedy="give a table that `xner study` wrote") from e


def means(table: pa.Table) -> list[dict[str, Any]]:
    """Means over seeds: a row for each (language, eval_set, setting, type), in the order of the table.

    Returns:
        rows with these four keys, `seeds`, the mean of each of MEASURES (None if it has no values), and `f1_std` (None for one
        seed).
    """
    keys = ["language", "eval_set", "setting", "type"]
    deviation = pc.VarianceOptions(ddof=1)
    aggregations = [(name, "mean") for name in MEASURES] + [("f1", "stddev", deviation), ("seed", "count")]
    grouped = table.group_by(keys, use_threads=False).aggregate(aggregations)
    names = {f"{name}_mean": name for name in MEASURES} | {"f1_stddev": "f1_std", "seed_count": "seeds"}
    return grouped.rename_columns([names.get(name, name) for name in grouped.column_names]).to_pylist()


def values(table: pa.Table, column: str) -> list[Any]:
    """Return the distinct values of a column, in the order of the table."""
    return table.column(column).unique().to_pylist()
