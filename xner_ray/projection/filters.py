"""Filters of projected sentences: which become training data, and why the others do not.

Entities, candidate spans and scores are stored with the shards, and the verdicts are a pure function of these Arrow columns. So
a threshold changes without a GPU. Everything is NumPy and Arrow kernels over flattened lists, about a million rows in ten
seconds on one core. The tests compare it with a slow version that reads like the method (docs/method.md, step 6).

The verdict is the first filter that applies:
    quarantined        the row could not be labeled or aligned
    contamination      the target is a sentence of an evaluation file
    kept_no_entity     the source has no entity, or the target's label conventions leave none
    unmapped           an entity has no span in the target
    mention_mismatch   an entity has several spans with different texts
    overlap            two spans overlap and are not one span of one type (Trump and Donald Trump, both 特朗普), or one name
                       has two types (both would get the same span)
    low_score          an entity or one of its spans scores below its threshold
    kept               otherwise
Entities of a row with the same text and type are one query, and `projections.entity` is the first of them. The score of a query
is the lowest score of its entities. A span that occurs twice for one query counts once, with its better score. Spans of kept
rows have the type of their entity, or the type that `label_conventions.py` gives them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.label_conventions import apply_conventions, is_entity_type
from xner_ray.text.arrow_kernels import (
    bool_mask,
    char_lengths,
    dictionary_codes,
    first_occurrences,
    flatten_fields,
    group_starts,
    substrings,
)
from xner_ray.text.decontamination import EvaluationSentences

# In the order in which they are applied.
_FILTERS = (
    schema.QUARANTINED,
    schema.CONTAMINATION,
    schema.KEPT_NO_ENTITY,
    schema.UNMAPPED,
    schema.MENTION_MISMATCH,
    schema.OVERLAP,
    schema.LOW_SCORE,
)


def assign_verdicts(
    table: pa.Table, rules: RulesConfig, evaluation_sentences: EvaluationSentences | None = None
) -> pa.Table:
    """Add the columns `verdict` and `spans`.

    Args:
        table: columns of schema.ALIGNED.
        rules: thresholds and label conventions. A threshold of 0 drops nothing.
        evaluation_sentences: sentences that must not be trained on.

    Returns:
        schema.FILTERED, the same rows in the same order. `spans` of kept rows are sorted by start; their score is the lower
        one of entity and projection. Other rows have no spans.

    Raises:
        ValueError: a span is empty or outside its text, or a projection's entity is not the first of its equal entities.
    """
    table = table.select(schema.ALIGNED.names).cast(schema.ALIGNED)
    sentences = evaluation_sentences or EvaluationSentences()
    batches = [_filter_batch(batch, rules, sentences) for batch in table.to_batches() if batch.num_rows]
    return pa.Table.from_batches(batches, schema=schema.FILTERED)


@dataclass(frozen=True)
class _Entities:
    """The entities of a batch: row, text and its code, code of the type, score, and the index of the first equal entity."""

    rows: np.ndarray
    texts: pa.Array
    text_codes: np.ndarray
    type_codes: np.ndarray
    scores: np.ndarray
    queries: np.ndarray

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch) -> _Entities:
        rows, (starts, ends, types, scores) = flatten_fields(batch.column("entities"), "start", "end", "type", "score")
        texts = substrings(batch.column("source"), rows, starts, ends)
        text_codes = dictionary_codes(texts)
        return cls(rows, texts, text_codes, types, scores, first_occurrences(rows, text_codes, types))

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class _Projections:
    """The projections of a batch: row, index of the entity, span and its text and code, and score."""

    rows: np.ndarray
    entities: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    texts: pa.Array
    text_codes: np.ndarray
    scores: np.ndarray

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch, entities: _Entities) -> _Projections:
        fields = flatten_fields(batch.column("projections"), "entity", "start", "end", "score")
        rows, (index, starts, ends, scores) = fields
        texts = substrings(batch.column("target"), rows, starts, ends)
        if (starts >= ends).any():
            raise ValueError("a projection has an empty span; leave it out, then its entity is unmapped")
        owners = _entity_indices(batch, rows, index, entities)
        return cls(rows, owners, starts, ends, texts, dictionary_codes(texts), scores)


def _entity_indices(batch: pa.RecordBatch, rows: np.ndarray, index: np.ndarray, entities: _Entities) -> np.ndarray:
    """The entity of each projection, as an index into all entities of the batch."""
    counts = np.bincount(entities.rows, minlength=batch.num_rows)
    offsets = np.concatenate([[0], np.cumsum(counts)])
    result = offsets[rows] + index
    is_wrong = (index < 0) | (index >= counts[rows])
    is_wrong[~is_wrong] = entities.queries[result[~is_wrong]] != result[~is_wrong]
    if is_wrong.any():
        i = int(np.flatnonzero(is_wrong)[0])
        pair = batch.slice(int(rows[i]), 1).select(["corpus", "pair_id"]).to_pylist()[0]
        raise ValueError(f"{pair}: a projection has entity {index[i]}, which is not the first of its equal entities")
    return result


def _filter_batch(batch: pa.RecordBatch, rules: RulesConfig, sentences: EvaluationSentences) -> pa.RecordBatch:
    entities = _Entities.from_batch(batch)
    projections = _Projections.from_batch(batch, entities)
    verdicts = _verdict_codes(batch, entities, projections, rules, sentences)
    is_kept = verdicts == len(_FILTERS)

    query_scores = np.full(len(entities), np.inf, np.float32)
    np.minimum.at(query_scores, entities.queries, entities.scores)
    scores = np.minimum(query_scores[projections.entities], projections.scores)
    chosen = _distinct_spans(projections, scores, is_kept)
    types = _types(batch, entities, projections, chosen, rules)
    is_entity = is_entity_type(types)
    chosen, types = chosen[is_entity], types.filter(pa.array(is_entity))
    columns = [
        pa.array(projections.starts[chosen], pa.int32()),
        pa.array(projections.ends[chosen], pa.int32()),
        types,
        pa.array(scores[chosen], pa.float32()),
    ]
    counts = np.bincount(projections.rows[chosen], minlength=batch.num_rows)
    verdicts[is_kept & (counts == 0)] = _FILTERS.index(schema.KEPT_NO_ENTITY)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    struct = pa.StructArray.from_arrays(columns, fields=list(schema.ENTITY))
    spans = pa.ListArray.from_arrays(pa.array(offsets), struct, type=schema.SPANS.type)
    names = pa.array([*_FILTERS, schema.KEPT]).take(pa.array(verdicts))
    return pa.RecordBatch.from_arrays([*batch.columns, names, spans], schema=schema.FILTERED)


def _verdict_codes(
    batch: pa.RecordBatch,
    entities: _Entities,
    projections: _Projections,
    rules: RulesConfig,
    sentences: EvaluationSentences,
) -> np.ndarray:
    """int64 [rows]: index in _FILTERS of the first filter that applies, `len(_FILTERS)` for kept rows."""
    n = batch.num_rows
    is_query = entities.queries == np.arange(len(entities))
    is_mapped = np.zeros(len(entities), bool)
    is_mapped[projections.entities] = True
    # Scores are float32, and so are the thresholds: a score of 0.9 is not below the threshold 0.9.
    is_low_entity = entities.scores < np.float32(rules.min_entity_score)
    is_low_projection = projections.scores < np.float32(rules.min_projection_score)
    applies = {
        schema.QUARANTINED: bool_mask(batch.column("fault").is_valid()),
        schema.CONTAMINATION: sentences.contains(batch.column("target"), batch.column("language")),
        schema.KEPT_NO_ENTITY: np.bincount(entities.rows, minlength=n) == 0,
        schema.UNMAPPED: _row_mask(entities.rows[is_query & ~is_mapped], n),
        schema.MENTION_MISMATCH: _row_mask(entities.rows[_has_several_texts(projections, len(entities))], n),
        schema.OVERLAP: _has_overlap(projections, entities, n) | _has_two_types(entities, n),
        schema.LOW_SCORE: _row_mask(entities.rows[is_low_entity], n)
        | _row_mask(projections.rows[is_low_projection], n),
    }
    return np.select([applies[name] for name in _FILTERS], np.arange(len(_FILTERS)), default=len(_FILTERS))


def _row_mask(rows: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask


def _has_several_texts(projections: _Projections, num_entities: int) -> np.ndarray:
    """bool [entities], whose projections differ in text."""
    lowest, highest = np.full(num_entities, np.iinfo(np.int64).max), np.full(num_entities, -1)
    np.minimum.at(lowest, projections.entities, projections.text_codes)
    np.maximum.at(highest, projections.entities, projections.text_codes)
    return lowest < highest


def _has_overlap(projections: _Projections, entities: _Entities, n: int) -> np.ndarray:
    """bool [rows], with two spans that share a character. Two equal spans of one type are no overlap."""
    types = entities.type_codes[projections.entities]
    order = np.lexsort((types, projections.ends, projections.starts, projections.rows))
    rows, starts, ends = projections.rows[order], projections.starts[order], projections.ends[order]
    is_distinct = group_starts(rows, starts, ends, types[order])
    rows, starts, ends = rows[is_distinct], starts[is_distinct], ends[is_distinct]
    # Sorted by start: where any two spans overlap, two neighbors do.
    return _row_mask(rows[1:][(rows[1:] == rows[:-1]) & (starts[1:] < ends[:-1])], n)


def _has_two_types(entities: _Entities, n: int) -> np.ndarray:
    """bool [rows], with two entities of one text and different types."""
    order = np.lexsort((entities.type_codes, entities.text_codes, entities.rows))
    rows, texts, types = entities.rows[order], entities.text_codes[order], entities.type_codes[order]
    return _row_mask(rows[1:][(rows[1:] == rows[:-1]) & (texts[1:] == texts[:-1]) & (types[1:] != types[:-1])], n)


def _distinct_spans(projections: _Projections, scores: np.ndarray, is_kept: np.ndarray) -> np.ndarray:
    """Indices of the projections of kept rows by row and start; of equal spans the one with the best score."""
    order = np.lexsort((-scores, projections.ends, projections.starts, projections.rows))
    rows = projections.rows[order]
    order = order[group_starts(rows, projections.starts[order], projections.ends[order])]
    return order[is_kept[projections.rows[order]]]


def _types(
    batch: pa.RecordBatch, entities: _Entities, projections: _Projections, chosen: np.ndarray, rules: RulesConfig
) -> pa.Array:
    """Types of the chosen projections, by the label conventions of their row's language."""
    owners = pa.array(projections.entities[chosen])
    types = batch.column("entities").flatten().field("type").take(owners)
    if not (rules.lowercase_word_type or rules.derived_word_type or rules.surface_type_overrides):
        return types
    names, surfaces = entities.texts.take(owners), projections.texts.take(pa.array(chosen))
    targets, languages = batch.column("target"), batch.column("language").dictionary_encode()
    rows, ends = projections.rows[chosen], projections.ends[chosen]
    following = substrings(targets, rows, ends, np.minimum(ends + 2, char_lengths(targets)[rows]))
    for code, language in enumerate(languages.dictionary.to_pylist()):
        converted = apply_conventions(types, names, surfaces, following, language, rules)
        types = pc.if_else(pa.array(languages.indices.to_numpy()[rows] == code), converted, types)
    return types
