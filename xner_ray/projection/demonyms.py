"""Country names used as demonyms, in languages whose gold labels them as places: 中国 of `Chinese`.

Such a gold set has no MISC and labels the 中国 of 中国政府 (Chinese government) as LOC. A teacher without MISC finds no entity
in `Chinese government`, so a student would learn the most frequent places as O. So the teacher keeps its type MISC. Here, before
the filters, an entity of a type that the target lacks gets the type of a place if all its spans are country names (Unicode
CLDR). Otherwise it is removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.encoders.ragged import offsets_of
from xner_ray.text.arrow_kernels import (
    bool_mask,
    dictionary_codes,
    first_occurrences,
    flatten_fields,
    list_offsets,
    substrings,
)
from xner_ray.text.cldr import country_names


def relabel_demonyms(
    table: pa.Table, country_types: Mapping[str, str], dropped_types: Mapping[str, Sequence[str]]
) -> pa.Table:
    """Replace the entities of types that the target's gold lacks.

    Args:
        table: columns of schema.ALIGNED.
        country_types: type of country names, by target language.
        dropped_types: types that the gold lacks, by target language.

    Returns:
        The same rows in the same order. Only `entities` and `projections` of languages in both mappings change. Each projection
        still points to the first of its equal entities.
    """
    languages = [language for language in country_types if dropped_types.get(language)]
    if not set(languages) & set(pc.unique(table.column("language")).to_pylist()):
        return table
    batches = [
        _relabel_batch(batch, {x: (country_types[x], dropped_types[x]) for x in languages})
        for batch in table.to_batches()
        if batch.num_rows
    ]
    return pa.Table.from_batches(batches, schema=table.schema)


def _relabel_batch(batch: pa.RecordBatch, rules: Mapping[str, tuple[str, Sequence[str]]]) -> pa.RecordBatch:
    """Apply (country type, dropped types) of each language."""
    entities, projections = batch.column("entities"), batch.column("projections")
    rows, (starts, ends) = flatten_fields(entities, "start", "end")
    span_rows, (entity_index, span_starts, span_ends) = flatten_fields(projections, "entity", "start", "end")
    owners = list_offsets(entities)[span_rows] + entity_index
    old_types = types = entities.flatten().field("type")
    names = dictionary_codes(substrings(batch.column("source"), rows, starts, ends))
    surfaces = substrings(batch.column("target"), span_rows, span_starts, span_ends)
    num_spans = np.bincount(owners, minlength=len(types))
    first = first_occurrences(rows, names, dictionary_codes(old_types))  # which has the spans of its equal entities

    is_kept = np.ones(len(types), bool)
    for language, (country_type, dropped_types) in rules.items():
        is_language = bool_mask(pc.equal(batch.column("language"), language))
        is_dropped = is_language[rows] & bool_mask(pc.is_in(old_types, pa.array(dropped_types)))
        is_country = bool_mask(pc.is_in(surfaces, pa.array(country_names(language), surfaces.type)))
        num_countries = np.bincount(owners[is_country], minlength=len(types))
        is_relabeled = ((num_spans > 0) & (num_countries == num_spans))[first] & is_dropped
        is_kept &= ~is_dropped | is_relabeled
        types = pc.if_else(pa.array(is_relabeled), country_type, types)
    # Entities that are equal now share the first one.
    owners = first_occurrences(rows, names, dictionary_codes(types))[owners]
    return _rebuild_batch(batch, rows, types, is_kept, span_rows, owners)


def _rebuild_batch(
    batch: pa.RecordBatch,
    rows: np.ndarray,
    types: pa.Array,
    is_kept: np.ndarray,
    span_rows: np.ndarray,
    owners: np.ndarray,
) -> pa.RecordBatch:
    """Return the batch with new types of entities and new owners of projections, without the entities that are not kept."""
    entities, projections = batch.column("entities").flatten(), batch.column("projections").flatten()
    fields = [types if f.name == "type" else entities.field(f.name) for f in schema.ENTITY]
    struct = pa.StructArray.from_arrays(fields, fields=list(schema.ENTITY)).filter(pa.array(is_kept))
    offsets = offsets_of(np.bincount(rows[is_kept], minlength=batch.num_rows))
    new_entities = _list_array(offsets, struct, schema.ENTITIES.type)

    new_index = np.cumsum(is_kept) - 1  # of each kept entity among all kept ones
    kept_spans = np.flatnonzero(is_kept[owners])
    entity_index = new_index[owners[kept_spans]] - offsets[span_rows[kept_spans]]
    order = np.lexsort((projections.field("start").to_numpy()[kept_spans], entity_index, span_rows[kept_spans]))
    kept_spans, entity_index = kept_spans[order], entity_index[order]
    fields = [
        pa.array(entity_index, f.type) if f.name == "entity" else projections.field(f.name).take(pa.array(kept_spans))
        for f in schema.PROJECTION
    ]
    struct = pa.StructArray.from_arrays(fields, fields=list(schema.PROJECTION))
    span_offsets = offsets_of(np.bincount(span_rows[kept_spans], minlength=batch.num_rows))
    new_projections = _list_array(span_offsets, struct, schema.PROJECTIONS.type)
    changed = {"entities": new_entities, "projections": new_projections}
    columns = [changed.get(name, batch.column(name)) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _list_array(offsets: np.ndarray, struct: pa.StructArray, list_type: pa.DataType) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), struct, type=list_type)
