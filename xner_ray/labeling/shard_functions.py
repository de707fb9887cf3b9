"""The functions that the actors of the labeling graph run in their child processes.

This module does not import Ray. It imports torch only with real models, not with the null model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from xner_ray import schema
from xner_ray.alignment.ensemble import FOLDER
from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.token_budget import TokenBudget
from xner_ray.encoders.tokenizer import Tokenizer, same_tokenizer
from xner_ray.labeling.isolation import ShardFunction
from xner_ray.ner.base_tagger import BaseTagger
from xner_ray.ner.pretokenize import SIMILARITY_SOURCE, SOURCE, pretokenize_table
from xner_ray.ner.tagger import Tagger, is_spacy_teacher, open_tagger


@dataclass(frozen=True)
class LabelingModels:
    """The models of a labeling and how they run.

    Attributes:
        teachers: folder of the teacher, by target language.
        aligner: folder of the aligner.
        source_language: of the source sentences.
        null_model: produce arbitrary entities and projections without a model; only the tokenizers are used.
        max_batch_tokens: padded tokens of one forward pass; auto: by the memory of the device.
        precision: auto, fp32, bf16 or fp16.
        num_threads: torch threads of each process.
        device: where torch runs the models. With `cuda`, a GPU that torch does not see is an error. None: the GPU if there is
            one, else the CPU.
    """

    teachers: dict[str, str]
    aligner: str
    source_language: str
    null_model: bool
    max_batch_tokens: TokenBudget
    precision: str
    num_threads: int
    device: str | None = None


def _similarity(models: LabelingModels) -> str:
    """The folder of the similarity's encoder, which an aligner need not have."""
    return str(Path(models.aligner) / FOLDER)


def similarity_side(models: LabelingModels, language: str) -> int | None:
    """The part of schema.PRETOKENIZED with the sources in the similarity's tokenizer; None: no similarity reads them.

    Args:
        models: of the labeling.
        language: of the targets, ISO 639-1.
    """
    folder = _similarity(models)
    if models.null_model or not Path(folder).is_dir():
        return None
    return SOURCE if same_tokenizer(models.teachers[language], folder) else SIMILARITY_SOURCE


class TokenizeFunction:
    """Computes subwords and words of both sides, so that actors with a GPU do not spend time on it."""

    def __init__(self, models: LabelingModels):
        self.models = models
        self.tokenizers: dict[str, Tokenizer | None] = {}

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """The column `pretokenized` of a table with the columns `source` and `target`; see `ShardFunction`."""
        source = self.tokenizer(self.models.teachers[language]), self.models.source_language
        aligner, similarity = self.tokenizer(self.models.aligner), None
        if similarity_side(self.models, language) == SIMILARITY_SOURCE:
            similarity = self.tokenizer(_similarity(self.models))
        return pretokenize_table(table, source, (aligner, language), similarity), {}

    def tokenizer(self, folder: str) -> Tokenizer | None:
        """The tokenizer of a model; None for spaCy, which tokenizes itself."""
        if folder not in self.tokenizers:
            self.tokenizers[folder] = (
                None if is_spacy_teacher(folder) else Tokenizer(folder, without_transformers=self.models.null_model)
            )
        return self.tokenizers[folder]


class LabelFunction:
    """Finds the entities of the source sentences with the teacher of the shard's language. A teacher is loaded when needed."""

    def __init__(self, models: LabelingModels):
        _set_threads(models)
        self.models = models
        self.taggers: dict[str, BaseTagger] = {}

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """The column `entities` of a table with the column `source`, and perhaps `pretokenized`."""
        from xner_ray.ner.label_table import label_table

        tagger = self.tagger(language)
        before = _counts(tagger.stats)
        column = label_table(tagger, table, self.models.source_language).column("entities").combine_chunks()
        return column, dict(_counts(tagger.stats) - before)

    def tagger(self, language: str) -> BaseTagger:
        """The teacher of a language."""
        folder, models = self.models.teachers[language], self.models
        if folder not in self.taggers:
            self.taggers[folder] = (
                Tagger.load_null(folder)
                if models.null_model
                else open_tagger(folder, models.max_batch_tokens, models.precision, models.device)
            )
        return self.taggers[folder]


class AlignFunction:
    """Projects the entities to the target sentences with the aligner. Pairs without entities cost nothing."""

    def __init__(self, models: LabelingModels):
        from xner_ray.alignment.projector import Projector

        _set_threads(models)
        self.models = models
        self.projector = (
            Projector.load_null(models.aligner)
            if models.null_model
            else Projector.load(models.aligner, models.precision, models.max_batch_tokens, models.device)
        )

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """The column `projections` of a table with `source`, `target` and `entities`, and perhaps `pretokenized`."""
        before = self._counts()
        side = similarity_side(self.models, language)
        return self.projector.project(table, language, side), dict(self._counts() - before)

    def _counts(self) -> Counter[str]:
        """The counts of the aligner and of the encoder whose similarities fill its gaps."""
        counts, similarity = _counts(self.projector.stats), self.projector.similarity
        return counts + _counts(similarity.engine.stats) if similarity else counts


@dataclass(frozen=True)
class ShardFunctions:
    """The classes of the functions. Each is constructed with the `LabelingModels` of the job.

    Child processes import them by name, so they must be defined at the top level of a module.
    """

    label: Callable[[LabelingModels], ShardFunction] = LabelFunction
    align: Callable[[LabelingModels], ShardFunction] = AlignFunction
    tokenize: Callable[[LabelingModels], ShardFunction] = TokenizeFunction


class LabelAndAlignFunction:
    """Labels and aligns in one process: an actor on a CPU calls it twice for each shard."""

    def __init__(self, functions: ShardFunctions, models: LabelingModels):
        self.label, self.align = functions.label(models), functions.align(models)

    def __call__(self, table: pa.Table, language: str) -> tuple[pa.Array, dict[str, Any]]:
        """The column `projections` if the table has `entities`, else the column `entities`; see `ShardFunction`."""
        function = self.align if schema.ENTITIES.name in table.column_names else self.label
        return function(table, language)


def _set_threads(models: LabelingModels) -> None:
    if not models.null_model:
        import torch

        torch.set_num_threads(models.num_threads)


def _counts(stats: EngineStats) -> Counter[str]:
    """The numbers that are logged and written to the manifest of a shard."""
    counts: dict[str, Any] = {
        "oom_backoffs": stats.oom_backoffs,
        "windowed_rows": stats.windowed_rows,
        "fp32_repeats": stats.fp32_repeats,
    }
    counts |= {"tokens": stats.tokens, "forward_seconds": stats.seconds.get("forward", 0.0), **stats.extra}
    return Counter(counts)
