"""`xner export`: the datasets of a finished run in one format, split, into a folder that appears whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray import schema
from xner_ray.errors import UserError
from xner_ray.results.export.dataset_card import dataset_card
from xner_ray.results.export.formats import FORMATS, Rows, writer
from xner_ray.results.export.huggingface import relisted
from xner_ray.results.export.split import SPLITS, assign
from xner_ray.results.run_results import RunResults
from xner_ray.storage.atomic import new_dir
from xner_ray.text.tags import label_list

BATCH = 4096


@dataclass
class Exported:
    """What was written. `files`: sentences of each file, by its path in the folder; `entities`: by (language, split) and type."""

    files: dict[str, int] = field(default_factory=dict)
    entities: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    sentences: Counter[tuple[str, str]] = field(default_factory=Counter)
    labels: dict[str, list[str]] = field(default_factory=dict)


def export_run(
    run: RunResults,
    out: str | Path,
    format: str,
    shares: Mapping[str, float],
    seed: int,
    tag_map: Mapping[str, str] | None = None,
) -> Exported:
    """Write every language of a run, and a card.

    Args:
        run: a finished run.
        out: a folder that is not there yet, or empty.
        format: one of FORMATS.
        shares, seed: see `split.assign`; a split without a sentence gets no file.
        tag_map: types renamed, `O` drops one.

    Raises:
        UserError: unknown format, a folder that holds something, a library that is not installed.
    """
    if format not in FORMATS:
        raise UserError(f"`{format}` is no format", key="--format", remedy=f"one of {', '.join(FORMATS)}")
    with new_dir(out, "--out") as made:
        told = Exported()
        for language, path in run.datasets.items():
            names = {x: (tag_map or {}).get(x, x) for x in _types(run.labels(language))}
            told.labels[language] = label_list(x for x in names.values() if x != "O")
            _language(path, language, made, format, shares, seed, names, told)
        (made / "README.md").write_text(dataset_card(run, told, format, shares, seed), encoding="utf-8")
    return told


def _language(
    path: Path,
    language: str,
    made: Path,
    format: str,
    shares: Mapping[str, float],
    seed: int,
    names: Mapping[str, str],
    told: Exported,
) -> None:
    """All splits of one language, counted in `told`."""
    name, opened = writer(format)
    folder = made / language
    folder.mkdir()
    files: dict[str, Rows] = {}
    try:
        for split, rows in divided(path, shares, seed):
            rows = renamed(rows, names)
            file = folder / name.format(split="dev" if (format, split) == ("flair", "validation") else split)
            if split not in files:
                files[split] = opened(file, language, told.labels[language])
            files[split].write(rows)
            told.sentences[language, split] += rows.num_rows
            told.files[f"{language}/{file.name}"] = told.sentences[language, split]
            begun = pc.list_flatten(rows.column("ner_tags"))
            begun = begun.filter(pc.starts_with(begun, "B-"))
            counts = {x["values"][2:]: x["counts"] for x in pc.value_counts(begun).to_pylist()}
            told.entities.setdefault((language, split), Counter()).update(counts)
    finally:
        for rows_of_split in files.values():
            rows_of_split.close()


def divided(path: Path, shares: Mapping[str, float], seed: int) -> Iterator[tuple[str, pa.Table]]:
    """Rows of a training file by split, some thousand at a time; the order within a split is the file's."""
    for batch in pq.ParquetFile(path).iter_batches(BATCH, columns=schema.EXPORTED.names):
        rows = pa.Table.from_batches([batch])
        split = assign(rows.column("target"), seed, shares)
        for i, name in enumerate(SPLITS):
            mine = rows.filter(pa.array(split == i))
            if mine.num_rows:
                yield name, mine.combine_chunks()


def renamed(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """Rows with the types of `ner_tags` renamed, `O` drops; `entities` and `spans` stay as the models named them."""
    if all(old == new for old, new in names.items()):
        return rows
    tags = rows.column("ner_tags").combine_chunks()
    coded = tags.flatten().dictionary_encode()
    flat = pa.array([_renamed(tag, names) for tag in coded.dictionary.to_pylist()], pa.string()).take(coded.indices)
    at = rows.schema.get_field_index("ner_tags")
    return rows.set_column(at, "ner_tags", relisted(tags, flat))


def _renamed(tag: str, names: Mapping[str, str]) -> str:
    prefix, _, kind = tag.partition("-")
    new = names.get(kind, kind) if kind else "O"
    return "O" if new == "O" else f"{prefix}-{new}"


def _types(labels: list[str]) -> list[str]:
    return [x[2:] for x in labels if x.startswith("B-")]
