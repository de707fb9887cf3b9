"""METHOD.md, stage 4: which sentences become training data, and why the others do not.

Decisions are cheap and inference is not, so candidates and scores come stored and the rules are a pure function of
Arrow
columns: a threshold moves without a GPU. All of it is NumPy and Arrow kernels over flattened lists, about a million
rows in ten seconds on one core; the tests hold a slow version that reads like the method and must agree.

The first that applies is the verdict:
    quarantined        the row could not be labeled or aligned
    contamination      the target is a sentence of an evaluation file
    kept_no_entity     the source has no entity, or the target's conventions leave none
    unmapped           an entity has no span in the target
    mention_mismatch   an entity has several spans and they differ in surface text
    overlap            two spans overlap and are not one span of one type (Trump and Donald Trump, both 特朗普), or one
                       name has two types (both would take the same span)
    low_score          an entity or one of its spans scores below the threshold
    kept               otherwise
Entities with the same surface text and type are one query; `projections.entity` points to the first of them. Its
score is the lowest of its mentions'. A span that is listed twice for one query counts once, with its better score.
Spans of kept rows have their entity's type, or what `conventions.py` makes of it.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.config import RulesConfig
from xner_ray.projection.label_conventions import is_entity, retype
from xner_ray.text.arrow_kernels import (
    char_lengths,
    dictionary_codes,
    first_occurrences,
    flatten_fields,
    group_starts,
    substrings,
)
from xner_ray.text.decontamination import HeldOut


def judge(table: pa.Table, rules: RulesConfig, held_out: HeldOut | None = None) -> pa.Table:
    """Add `verdict` and `spans`.

    Args:
        table: columns of schema.ALIGNED.
        rules: thresholds; 0 lets everything pass.
        held_out: sentences that must not be trained on.

    Returns:
        schema.JUDGED, same rows in the same order. `spans` of kept rows are sorted by start, their score is the lower
        one of entity and projection; other rows have none.

    Raises:
        ValueError: offsets outside the text, or a projection that does not point to the first of its equal entities.
    """
    table = table.select(schema.ALIGNED.names).cast(schema.ALIGNED)
    batches = [_judge(batch, rules, held_out or HeldOut()) for batch in table.to_batches() if batch.num_rows]
    return pa.Table.from_batches(batches, schema=schema.JUDGED)


def _judge(batch: pa.RecordBatch, rules: RulesConfig, held_out: HeldOut) -> pa.RecordBatch:
    n = batch.num_rows
    entities, projections = batch.column("entities"), batch.column("projections")
    entity_row, (e_start, e_end, e_type, e_score) = flatten_fields(entities, "start", "end", "type", "score")
    span_row, (p_entity, p_start, p_end, p_score) = flatten_fields(projections, "entity", "start", "end", "score")
    name_texts = substrings(batch.column("source"), entity_row, e_start, e_end)
    names = dictionary_codes(name_texts)
    query = first_occurrences(entity_row, names, e_type)
    owner = _owners(batch, span_row, p_entity, entity_row, query)
    span_texts = substrings(batch.column("target"), span_row, p_start, p_end)
    surfaces = dictionary_codes(span_texts)
    if (p_start >= p_end).any():
        raise ValueError("a projection without a character; leave it out, so that its entity counts as unmapped")

    is_query = query == np.arange(len(query))
    mapped = np.zeros(len(query), bool)
    mapped[owner] = True
    verdicts = [
        ("quarantined", batch.column("fault").is_valid().to_numpy(zero_copy_only=False)),
        (schema.CONTAMINATION, held_out.holds(batch.column("target"), batch.column("language"))),
        ("kept_no_entity", np.bincount(entity_row, minlength=n) == 0),
        ("unmapped", _any(entity_row[is_query & ~mapped], n)),
        ("mention_mismatch", _any(entity_row[_differs(owner, surfaces, len(query))], n)),
        ("overlap", _overlaps(span_row, e_type[owner], p_start, p_end, n) | _two_types(entity_row, names, e_type, n)),
        (
            "low_score",  # compared as float32, which the scores are: 0.9 must not fall below 0.9
            _any(entity_row[e_score < np.float32(rules.min_entity_score)], n)
            | _any(span_row[p_score < np.float32(rules.min_projection_score)], n),
        ),
    ]
    verdict = np.select([mask for _, mask in verdicts], np.arange(len(verdicts)), default=len(verdicts))
    labels = pa.array([name for name, _ in verdicts] + [schema.KEPT])
    kept = verdict == len(verdicts)

    lowest = np.full(len(query), np.inf, np.float32)
    np.minimum.at(lowest, query, e_score)
    score = np.minimum(lowest[owner], p_score)
    chosen = _chosen(span_row, p_start, p_end, score, kept)
    of = pa.array(owner[chosen])
    types = entities.flatten().field("type").take(of)
    if rules.lowercase_word_type or rules.derived_word_type or rules.surface_type_overrides:
        texts = name_texts.take(of), span_texts.take(pa.array(chosen))
        types = _by_convention(batch, rules, types, *texts, span_row[chosen], p_end[chosen])
    entity = is_entity(types)
    chosen, types = chosen[entity], types.filter(pa.array(entity))
    columns = [
        pa.array(p_start[chosen], pa.int32()),
        pa.array(p_end[chosen], pa.int32()),
        types,
        pa.array(score[chosen], pa.float32()),
    ]
    counts = np.bincount(span_row[chosen], minlength=n)
    verdict[kept & (counts == 0)] = [name for name, _ in verdicts].index(schema.KEPT_NO_ENTITY)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    struct = pa.StructArray.from_arrays(columns, fields=list(schema.ENTITY))
    spans = pa.ListArray.from_arrays(pa.array(offsets), struct, type=schema.SPANS.type)
    return pa.RecordBatch.from_arrays([*batch.columns, labels.take(pa.array(verdict)), spans], schema=schema.JUDGED)


def _by_convention(
    batch: pa.RecordBatch,
    rules: RulesConfig,
    types: pa.Array,
    names: pa.Array,
    surfaces: pa.Array,
    rows: np.ndarray,
    ends: np.ndarray,
) -> pa.Array:
    """Types of spans, changed where the conventions of their row's language say so."""
    targets, languages = batch.column("target"), batch.column("language").dictionary_encode()
    after = substrings(targets, rows, ends, np.minimum(ends + 2, char_lengths(targets)[rows]))
    for code, language in enumerate(languages.dictionary.to_pylist()):
        changed = retype(
            types,
            names,
            surfaces,
            after,
            language,
            rules.lowercase_word_type,
            rules.derived_word_type,
            rules.surface_type_overrides,
        )
        types = pc.if_else(pa.array(languages.indices.to_numpy()[rows] == code), changed, types)
    return types


def _owners(
    batch: pa.RecordBatch, rows: np.ndarray, index: np.ndarray, entity_row: np.ndarray, query: np.ndarray
) -> np.ndarray:
    """Flat index of the query of each projection."""
    counts = np.bincount(entity_row, minlength=batch.num_rows)
    before = np.concatenate([[0], np.cumsum(counts)])
    owner = before[rows] + index
    bad = (index < 0) | (index >= counts[rows])
    bad[~bad] = query[owner[~bad]] != owner[~bad]
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        where = batch.slice(int(rows[i]), 1).select(["corpus", "pair_id"]).to_pylist()[0]
        raise ValueError(
            f"{where}: a projection points to entity {index[i]}, which is not the first of its equal entities"
        )
    return owner


def _any(rows: np.ndarray, n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask


def _differs(groups: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Groups (of n) that hold more than one value, as indices."""
    low, high = np.full(n, np.iinfo(np.int64).max), np.full(n, -1)
    np.minimum.at(low, groups, values)
    np.maximum.at(high, groups, values)
    return np.flatnonzero(low < high)


def _overlaps(rows: np.ndarray, types: np.ndarray, starts: np.ndarray, ends: np.ndarray, n: int) -> np.ndarray:
    """Rows with two spans that share a character; a span that is listed twice with one type is no overlap."""
    order = np.lexsort((types, ends, starts, rows))
    rows, types, starts, ends = rows[order], types[order], starts[order], ends[order]
    new = group_starts(rows, starts, ends, types)
    rows, starts, ends = rows[new], starts[new], ends[new]
    # Sorted by start, so where any two overlap some neighbors do.
    return _any(rows[1:][(rows[1:] == rows[:-1]) & (starts[1:] < ends[:-1])], n)


def _two_types(rows: np.ndarray, names: np.ndarray, types: np.ndarray, n: int) -> np.ndarray:
    order = np.lexsort((types, names, rows))
    rows, names, types = rows[order], names[order], types[order]
    return _any(rows[1:][(rows[1:] == rows[:-1]) & (names[1:] == names[:-1]) & (types[1:] != types[:-1])], n)


def _chosen(rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, score: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Projections that become spans, by row and start; of equal ones the best."""
    order = np.lexsort((-score, ends, starts, rows))
    order = order[group_starts(rows[order], starts[order], ends[order])]
    return order[kept[rows[order]]]
