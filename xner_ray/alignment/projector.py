"""The projector: from entities of source sentences to spans of their target sentences.

For each shard: exact string matches first; then the trained aligner and the untrained similarity together for the other
entities; then cleaned edges, a one-to-one assignment within each sentence pair, and other occurrences of the assigned spans.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from xner_ray import schema
from xner_ray.alignment.assignment import assign_one_to_one, assign_shared_spans, drop_inner_candidates
from xner_ray.alignment.candidates import Candidates, Projection
from xner_ray.alignment.decoding import Decoding, decode_spans, word_probabilities
from xner_ray.alignment.ensemble import FOLDER, agreement, joint_candidates
from xner_ray.alignment.exact_match import exact_matches
from xner_ray.alignment.projector_file import read_projector
from xner_ray.alignment.queries import Queries, QueryTexts, encode_queries, query_texts
from xner_ray.alignment.repeats import repeated_spans
from xner_ray.alignment.score_map import ALL, ScoreMap
from xner_ray.alignment.span_cleanup import clean_candidates
from xner_ray.encoders.engine_base import InferenceEngine
from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.ragged import Ragged, offsets_of
from xner_ray.encoders.testing.null import NullEngine
from xner_ray.encoders.token_budget import TokenBudget
from xner_ray.encoders.tokenizer import Tokenizer, Tokens, same_tokenizer

if TYPE_CHECKING:
    from xner_ray.alignment.similarity import Similarity  # imports torch

LABELS = ["OUTSIDE", "INSIDE"]  # of the aligner


class Projector:
    """Projects entities of source sentences to their target sentences.

    Args:
        engine: holds the trained aligner.
        tokenizer: of the aligner.
        decoding: how probabilities become spans.
        similarity: the untrained similarity; used where `decoding.similarity_weight` is above 0.
        similarity_weights: by language, where the weight is not that of `decoding`.
        score_maps: by language, and `score_map.ALL`; they calibrate the scores of spans that both models choose. Empty:
            scores are not calibrated.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        tokenizer: Tokenizer,
        decoding: Decoding | None = None,
        similarity: Similarity | None = None,
        similarity_weights: Mapping[str, float] | None = None,
        score_maps: Mapping[str, ScoreMap] | None = None,
    ):
        self.engine, self.tokenizer, self.decoding = engine, tokenizer, decoding or Decoding()
        self.similarity, self.similarity_weights = similarity, dict(similarity_weights or {})
        self.score_maps = dict(score_maps or {})

    @classmethod
    def load(
        cls,
        folder: str | Path,
        precision: str = "auto",
        max_batch_tokens: TokenBudget = "auto",
        device: str | None = None,
    ) -> Projector:
        """Load the folder of a trained aligner with its projector.json.

        Args:
            folder: of the aligner.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            max_batch_tokens: padded tokens of a forward pass; auto: by the memory of the device (`token_budget`).
            device: such as `cpu`; None: a GPU where there is one.

        Raises:
            UserError: projector.json is missing, of another version, or broken.
        """
        from xner_ray.encoders.load import load_model
        from xner_ray.encoders.torch_engine import TorchEngine

        settings = read_projector(folder)
        similarity = None
        if settings.decoding.similarity_weight:
            from xner_ray.alignment.similarity import Similarity

            similarity = Similarity.load(
                str(Path(folder) / FOLDER), settings.similarity_layer, precision, max_batch_tokens, device
            )
        engine = TorchEngine(load_model(folder), max_batch_tokens, precision, device)
        return cls(
            engine,
            Tokenizer(str(folder)),
            settings.decoding,
            similarity,
            settings.similarity_weights,
            settings.score_maps,
        )

    @classmethod
    def load_null(cls, folder: str | Path) -> Projector:
        """A projector without a model (`encoders/testing/null.py`), with the tokenizer of a folder."""
        tokenizer = Tokenizer(str(folder), without_transformers=True)
        return cls(NullEngine(tokenizer.word_start_mask()), tokenizer, Decoding(word_pooling="first"))

    @property
    def stats(self) -> EngineStats:
        """Counters of the aligner's engine.

        `windowed_rows` are queries whose target is longer than the model. `extra` has `truncated_names`, queries whose name
        was truncated, and `exact_matches`, queries that no model read.
        """
        return self.engine.stats

    def project(self, table: pa.Table, language: str, source_side: int | None = None) -> pa.ListArray:
        """Candidates of a labeled shard.

        Args:
            table: columns `source`, `target` and `entities` (schema.LABELED). With schema.PRETOKENIZED the targets are not
                tokenized again.
            language: of the targets, ISO 639-1.
            source_side: part of schema.PRETOKENIZED with the sources in the similarity's tokenizer; None: there is none.

        Returns:
            schema.PROJECTIONS, one list for each row, ordered by entity and start. `entity` is the first entity of the row
            with its text and type.
        """
        queries = Queries.from_table(table)
        candidates = self.find_candidates(queries, query_texts(table, queries, language, source_side))
        columns = {
            "entity": queries.entities[candidates.query_ids],
            "start": candidates.starts,
            "end": candidates.ends,
            "score": candidates.scores,
            "aligner": candidates.aligner_scores,
            "similarity": candidates.similarity_scores,
        }
        values = pa.StructArray.from_arrays(
            [pa.array(columns[field.name], field.type, from_pandas=field.nullable) for field in schema.PROJECTION],
            fields=list(schema.PROJECTION),
        )
        counts = np.bincount(queries.rows[candidates.query_ids], minlength=table.num_rows)
        offsets = pa.array(offsets_of(counts).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, values, type=schema.PROJECTIONS.type)

    def find_candidates(self, queries: Queries, texts: QueryTexts) -> Candidates:
        """Candidates of queries, ordered by query and start."""
        decoding = self.decoding
        exact = self._exact_matches(queries, texts)
        rest = np.flatnonzero(exact.unaligned_queries(len(queries)))
        rest_queries, rest_texts = queries.take(rest), self._tokenized(texts.take_queries(rest))
        found, probabilities = self._model_candidates(rest_queries, rest_texts)
        found = clean_candidates(found, rest_texts, remove_articles=decoding.one_to_one).for_queries(rest)
        if not decoding.one_to_one:
            return found.concatenate(exact).sorted()
        found = drop_inner_candidates(found, queries.rows[found.query_ids])
        assigned = assign_one_to_one(found, queries, texts, assigned=exact)
        if self._uses_similarity:
            # Of the models' spans alone: an exact match has all occurrences of its name.
            of_models = assigned.take(np.isin(assigned.query_ids, rest))
            of_models = replace(of_models, query_ids=np.searchsorted(rest, of_models.query_ids))
            repeats = repeated_spans(of_models, rest_texts, probabilities, decoding.threshold).for_queries(rest)
            assigned = assign_one_to_one(repeats, queries, texts, assigned=assigned)
        return self._calibrated(assign_shared_spans(assigned, found, queries), exact, texts.language)

    def agreement(self, table: pa.Table, language: str) -> tuple[np.ndarray, np.ndarray]:
        """Scores of names, and whether the similarity alone and the aligner alone agree on them; see `ensemble.agreement`.

        Exact matches are included, because both models find them, and the mean would be too low without them.

        Args:
            table: columns `source`, `target` and `entities` (schema.LABELED).
            language: of the targets, ISO 639-1.

        Returns:
            Both empty where not both models choose spans of this language.
        """
        queries = Queries.from_table(table)
        if not len(queries) or self.similarity is None or not self._mixes(language):
            return np.zeros(0, np.float32), np.zeros(0, bool)
        texts = self._tokenized(query_texts(table, queries, language))
        words = self._aligner_words(queries, texts)
        return agreement(self.similarity, queries, self._for_similarity(texts), words, self._weight(language))

    def _calibrated(self, candidates: Candidates, exact: Candidates, language: str) -> Candidates:
        """Candidates with the scores that leave the projector. Raw scores chose the spans."""
        score_map = self.score_maps.get(language, self.score_maps.get(ALL))
        if score_map is None or not self._mixes(language):
            return candidates
        is_exact = np.isin(candidates.query_ids, exact.query_ids)
        return replace(candidates, scores=np.where(is_exact, candidates.scores, score_map(candidates.scores)))

    def _weight(self, language: str) -> float:
        return self.similarity_weights.get(language, self.decoding.similarity_weight)

    def _mixes(self, language: str) -> bool:
        """Whether both models choose the spans of this language."""
        return self._uses_similarity and 0 < self._weight(language) < 1

    def _tokenized(self, texts: QueryTexts) -> QueryTexts:
        """Tokenize the targets once, for the aligner and the similarity."""
        if texts.tokens is not None:
            return texts
        with self.stats.timed("tokenize"):
            return replace(texts, tokens=self.tokenizer(texts.targets))

    def _exact_matches(self, queries: Queries, texts: QueryTexts) -> Candidates:
        if not self.decoding.exact_match_score or not texts.uses_spaces or not len(queries):
            return Candidates.empty()
        matches = exact_matches(queries, texts, self.decoding.exact_match_score)
        self._count("exact_matches", len(np.unique(matches.query_ids)))
        return matches

    @property
    def _uses_similarity(self) -> bool:
        return self.similarity is not None and self.decoding.similarity_weight > 0

    def _model_candidates(self, queries: Queries, texts: QueryTexts) -> tuple[Candidates, Ragged | None]:
        """Candidates, and the aligner's word probabilities where it runs beside the similarity."""
        if not len(queries):
            return Candidates.empty(), None
        if self.similarity is None or not self._uses_similarity:
            found = decode_spans(
                *self._token_probabilities(queries, texts),
                texts.words,
                texts.target_strings,
                texts.pair_ids,
                self.decoding,
            )
            return found, None
        weight = self._weight(texts.language)
        words = self._aligner_words(queries, texts) if weight < 1 else None
        texts = self._for_similarity(texts)
        found = joint_candidates(self.similarity, queries, texts, words, weight, self.decoding.threshold)
        return found, words

    def _aligner_words(self, queries: Queries, texts: QueryTexts) -> Ragged:
        """The aligner's probability of each target word of each query."""
        inside, tokens = self._token_probabilities(queries, texts)
        pooling = self.decoding.word_pooling
        _, _, values = word_probabilities(inside, tokens, texts.words, texts.pair_ids, pooling)
        return Ragged(values, offsets_of(np.diff(texts.words.offsets)[texts.pair_ids]))

    def _for_similarity(self, texts: QueryTexts) -> QueryTexts:
        """The texts without tokens where the similarity has another tokenizer."""
        is_same = self.similarity and same_tokenizer(self.tokenizer.folder, self.similarity.tokenizer.folder)
        return texts if is_same else replace(texts, tokens=None)

    def _token_probabilities(self, queries: Queries, texts: QueryTexts) -> tuple[np.ndarray, Tokens]:
        """The aligner's probability of each target token of each query, and the tokens of the distinct targets."""
        with self.stats.timed("tokenize"):
            encoded = encode_queries(self.tokenizer, queries, texts, self.engine.max_length)
        self.stats.windowed_rows += encoded.num_windowed
        self._count("truncated_names", encoded.num_truncated_names)
        probabilities = self.engine.probabilities(encoded.ids, encoded.segment_ids)
        if not len(encoded.target_positions):
            return np.zeros(0, np.float32), encoded.tokens
        return probabilities[encoded.target_positions, -1], encoded.tokens

    def _count(self, name: str, number: int) -> None:
        self.stats.extra[name] = self.stats.extra.get(name, 0) + number

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[Projection]]:
        """Candidates of sentence pairs.

        Args:
            sources, targets: raw strings, one of each for a pair.
            entities: (start, end, type, ...) of each source; half-open character spans.
            language: of the targets, ISO 639-1.

        Returns:
            The projections of each pair. `entity` is the index of the first entity with its text and type.
        """
        rows = [[{"start": e[0], "end": e[1], "type": e[2], "score": 1.0} for e in row] for row in entities]
        table = pa.table(
            {
                "source": pa.array(sources, pa.string()),
                "target": pa.array(targets, pa.string()),
                "entities": pa.array(rows, schema.ENTITIES.type),
            }
        )
        lists = self.project(table, language).to_pylist()
        return [[Projection(p["entity"], p["start"], p["end"], round(p["score"], 4)) for p in row] for row in lists]
