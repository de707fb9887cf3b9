"""What the actors of the labeling stage run in their child processes: models in, one column a shard out.

No Ray here; and no torch where the null model answers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from xner_ray import schema
from xner_ray.encoders.engine_stats import Counts
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.labeling.isolation.subprocess_worker import Work, named
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.pretokenize import cut_table
from xner_ray.ner.tagger import Tagger, is_spacy, open_tagger


class TokenizeWork:
    """What the other two would cut themselves, on CPUs, before a shard meets a GPU.

    Args:
        folders: of the teachers, by language.
        aligner: its folder.
        null: as theirs.
    """

    def __init__(self, folders: dict[str, str], aligner: str, source_language: str, null: bool):
        self.folders, self.aligner, self.source_language, self.null = folders, aligner, source_language, null
        self.tokenizers: dict[str, Tokenizer | None] = {}

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """`cut` of a table with the columns `source` and `target`."""
        source = self.tokenizer(self.folders[language]), self.source_language
        return cut_table(table, source, (self.tokenizer(self.aligner), language)), {}

    def tokenizer(self, folder: str) -> Tokenizer | None:
        if folder not in self.tokenizers:
            self.tokenizers[folder] = None if is_spacy(folder) else Tokenizer(folder, plain=self.null)
        return self.tokenizers[folder]


class LabelWork:
    """The teacher of each shard's language, loaded when a shard first asks for it.

    Args:
        folders: of the teachers, by language.
        null: answer without a model, with the tokenizers of these folders.
    """

    def __init__(
        self, folders: dict[str, str], source_language: str, null: bool, budget: int, precision: str, threads: int
    ):
        _set_threads(null, threads)
        self.folders, self.source_language, self.null = folders, source_language, null
        self.budget, self.precision = budget, precision
        self.taggers: dict[str, BaseTagger] = {}

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """`entities` of a table with the column `source`, and perhaps `cut`."""
        from xner_ray.ner.label_table import label_table

        tagger = self.tagger(language)
        before = _notable(tagger.counts)
        column = label_table(tagger, table, self.source_language).column("entities").combine_chunks()
        return column, _since(before, _notable(tagger.counts))

    def tagger(self, language: str) -> BaseTagger:
        folder = self.folders[language]
        if folder not in self.taggers:
            opened = Tagger.null(folder) if self.null else open_tagger(folder, self.budget, self.precision)
            self.taggers[folder] = opened
        return self.taggers[folder]


class AlignWork:
    """The aligner; pairs in which the teacher found nothing cost it nothing."""

    def __init__(self, folder: str, null: bool, budget: int, precision: str, threads: int):
        from xner_ray.alignment.projector import Projector

        _set_threads(null, threads)
        self.projector = (
            Projector.null(folder) if null else Projector.load(folder, precision=precision, batch_tokens=budget)
        )

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """`projections` of a table with the columns `source`, `target` and `entities`, and perhaps `cut`."""
        before = self._notable()
        return self.projector.project(table, language), _since(before, self._notable())

    def _notable(self) -> Counter[str]:
        """Of the aligner, and of the encoder whose similarities it asks for where it finds nothing."""
        told, similarity = _notable(self.projector.counts), self.projector.similarity
        return told + _notable(similarity.engine.counts) if similarity else told


class BothWork:
    """Labeling and aligning in one process, as an actor on a CPU asks for them in turn.

    Args:
        label, align: `module:Class` and settings, those of `LabelWork` and `AlignWork`.
    """

    def __init__(self, label: tuple[str, dict[str, Any]], align: tuple[str, dict[str, Any]]):
        self.label, self.align = (named(work)(**settings) for work, settings in (label, align))

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """What the aligner says where entities are known, else what the teacher says."""
        work: Work = self.align if schema.ENTITIES.name in table.column_names else self.label
        return work(table, language)


def _set_threads(null: bool, threads: int) -> None:
    if not null:
        import torch

        torch.set_num_threads(threads)


def _notable(counts: Counts) -> Counter[str]:
    told: dict[str, Any] = {"halvings": counts.halvings, "windowed_rows": counts.windowed_rows}
    told |= {"tokens": counts.tokens, "forward_seconds": counts.seconds.get("forward", 0.0), **counts.extra}
    return Counter(told)


def _since(before: Counter[str], now: Counter[str]) -> dict[str, float]:
    """What is to be told of one shard, such as that memory ran out and its batches were made smaller."""
    return dict(now - before)
