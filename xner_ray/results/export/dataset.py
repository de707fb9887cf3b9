"""`xner export`: the datasets of a finished run in one format, split, in a folder that is created atomically."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.errors import UserError
from xner_ray.results.export.dataset_card import dataset_card
from xner_ray.results.export.export_types import ExportOptions, ExportSummary
from xner_ray.results.export.formats import FORMATS
from xner_ray.results.export.huggingface import with_values
from xner_ray.results.export.row_writer import RowWriter
from xner_ray.results.export.split import SPLITS, assign_splits
from xner_ray.results.run_results import RunResults
from xner_ray.storage.atomic import new_dir
from xner_ray.text.tags import label_list

BATCH_ROWS = 4096


def export_run(run: RunResults, out: str | Path, options: ExportOptions) -> ExportSummary:
    """Write the dataset of each language of a run, and a dataset card.

    Args:
        run: a finished run.
        out: a folder that does not exist, or an empty one.
        options: format, splits and names of types.

    Returns:
        the counts of what was written.

    Raises:
        UserError: unknown format, `out` is not empty, or a library is not installed.
    """
    if options.format not in FORMATS:
        raise UserError(f"unknown format `{options.format}`", key="--format", remedy=f"one of {', '.join(FORMATS)}")
    with new_dir(out, "--out") as folder:
        summary = ExportSummary()
        for language in run.datasets:
            _export_language(run, language, folder, options, summary)
        (folder / "README.md").write_text(dataset_card(run, summary, options), encoding="utf-8")
    return summary


def _export_language(
    run: RunResults, language: str, out: Path, options: ExportOptions, summary: ExportSummary
) -> None:
    """Write all splits of one language, and add their counts to the summary."""
    format = FORMATS[options.format]
    names = {x: options.tag_map.get(x, x) for x in _types(run.labels(language))}
    summary.labels[language] = label_list(x for x in names.values() if x != "O")
    folder = out / language
    folder.mkdir()
    writers: dict[str, RowWriter] = {}
    try:
        for split, rows in read_splits(run.datasets[language], options.shares, options.seed):
            rows = rename_types(rows, names)
            file = folder / format.file_name(split)
            if split not in writers:
                writers[split] = format.open(file, language, summary.labels[language])
            writers[split].write(rows)
            summary.sentences[language, split] += rows.num_rows
            summary.files[f"{language}/{file.name}"] = summary.sentences[language, split]
            tags = pc.list_flatten(rows.column("ner_tags"))
            begin_tags = tags.filter(pc.starts_with(tags, "B-"))
            counts = {x["values"][2:]: x["counts"] for x in pc.value_counts(begin_tags).to_pylist()}
            summary.entities.setdefault((language, split), Counter()).update(counts)
    finally:
        for writer in writers.values():
            writer.close()


def read_splits(path: Path, shares: Mapping[str, float], seed: int) -> Iterator[tuple[str, pa.Table]]:
    """Rows of a training file by split, in batches. Within a split the rows keep the order of the file.

    Args:
        path: a file with rows of schema.EXPORTED.
        shares: the share of each split.
        seed: see `split.assign_splits`.
    """
    for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS, columns=schema.EXPORTED.names):
        rows = pa.Table.from_batches([batch])
        split = assign_splits(rows.column("target"), seed, shares)
        for i, name in enumerate(SPLITS):
            rows_of_split = rows.filter(pa.array(split == i))
            if rows_of_split.num_rows:
                yield name, rows_of_split.combine_chunks()


def rename_types(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """Rename the types of `ner_tags`. The columns `entities` and `spans` keep the names of the models.

    Args:
        rows: of schema.EXPORTED.
        names: the new name of each type; `O` drops a type.
    """
    if all(old == new for old, new in names.items()):
        return rows
    tags = rows.column("ner_tags").combine_chunks()
    encoded = tags.flatten().dictionary_encode()
    renamed = pa.array([_renamed(tag, names) for tag in encoded.dictionary.to_pylist()], pa.string())
    index = rows.schema.get_field_index("ner_tags")
    return rows.set_column(index, "ner_tags", with_values(tags, renamed.take(encoded.indices)))


def _renamed(tag: str, names: Mapping[str, str]) -> str:
    prefix, _, kind = tag.partition("-")
    new = names.get(kind, kind) if kind else "O"
    return "O" if new == "O" else f"{prefix}-{new}"


def _types(labels: list[str]) -> list[str]:
    return [x[2:] for x in labels if x.startswith("B-")]
