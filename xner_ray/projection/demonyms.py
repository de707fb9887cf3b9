"""Countries in languages whose word for a people is the country's name: 中国 of `Chinese`.

Such a gold set has no MISC and tags 中国政府's 中国 as LOC, while an English teacher without MISC says nothing of `Chinese
government`, so that a student would learn the most frequent places as O. So the teacher keeps its type, and here, before
the rules, an entity of a type that the target lacks becomes a place where it went to a country's name, by Unicode CLDR,
and else is as if it had not been found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray import schema
from xner_ray.encoders.ragged import offsets_of
from xner_ray.text.arrow_kernels import dictionary_codes, first_occurrences, flatten_fields, list_offsets, substrings
from xner_ray.text.languages import country_names


def to_countries(table: pa.Table, countries: Mapping[str, str], lacking: Mapping[str, Sequence[str]]) -> pa.Table:
    """Rows as they would be if the teacher knew the target's types alone.

    Args:
        table: schema.ALIGNED columns.
        countries: by language the type that countries' names get.
        lacking: by language the types that its gold does not have.

    Returns:
        The same rows; only `entities` and `projections` of the languages in `countries` change.
    """
    wanted = [language for language in countries if lacking.get(language)]
    if not set(wanted) & set(pc.unique(table.column("language")).to_pylist()):
        return table
    batches = [_changed(batch, countries, lacking, wanted) for batch in table.to_batches() if batch.num_rows]
    return pa.Table.from_batches(batches, schema=table.schema)


def _changed(batch: pa.RecordBatch, countries, lacking, wanted: Sequence[str]) -> pa.RecordBatch:
    entities, projections = batch.column("entities"), batch.column("projections")
    entity_row, (e_start, e_end) = flatten_fields(entities, "start", "end")
    span_row, (p_entity, p_start, p_end) = flatten_fields(projections, "entity", "start", "end")
    owner = list_offsets(entities)[span_row] + p_entity
    types, language = entities.flatten().field("type"), batch.column("language")
    surfaces = substrings(batch.column("target"), span_row, p_start, p_end)
    spans = np.bincount(owner, minlength=len(types))

    keep, kinds = np.ones(len(types), bool), types
    for code in wanted:
        mine = pc.equal(language, code).to_numpy(zero_copy_only=False)
        no_type = mine[entity_row] & pc.is_in(types, pa.array(lacking[code])).to_numpy(zero_copy_only=False)
        country = pc.is_in(surfaces, pa.array(country_names(code), surfaces.type)).to_numpy(zero_copy_only=False)
        place = (spans > 0) & (np.bincount(owner[country], minlength=len(types)) == spans)
        # Equal entities share the spans of the first of them.
        first = first_occurrences(entity_row, *_keys(batch, entity_row, e_start, e_end, types))
        place = place[first] & no_type
        keep &= ~no_type | place
        kinds = pc.if_else(pa.array(place), countries[code], kinds)
    first = first_occurrences(entity_row, *_keys(batch, entity_row, e_start, e_end, kinds))
    return _rebuilt(batch, entity_row, kinds, keep, span_row, first[owner])


def _keys(batch: pa.RecordBatch, rows, starts, ends, types: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    return dictionary_codes(substrings(batch.column("source"), rows, starts, ends)), dictionary_codes(types)


def _rebuilt(batch: pa.RecordBatch, entity_row, kinds: pa.Array, keep, span_row, owner) -> pa.RecordBatch:
    """The batch with new types, without the entities that are not kept, and with their spans' owners."""
    n, entities, projections = batch.num_rows, batch.column("entities"), batch.column("projections").flatten()
    fields = [kinds if f.name == "type" else entities.flatten().field(f.name) for f in schema.ENTITY]
    struct = pa.StructArray.from_arrays(fields, fields=list(schema.ENTITY)).filter(pa.array(keep))
    offsets = offsets_of(np.bincount(entity_row[keep], minlength=n))
    new_entities = _lists(offsets, struct, schema.ENTITIES.type)

    place = np.cumsum(keep) - 1  # of an entity among those that are kept
    kept = np.flatnonzero(keep[owner])
    index = place[owner[kept]] - offsets[span_row[kept]]
    order = np.lexsort((projections.field("start").to_numpy()[kept], index, span_row[kept]))
    kept, index = kept[order], index[order]
    fields = [
        pa.array(index, f.type) if f.name == "entity" else projections.field(f.name).take(pa.array(kept))
        for f in schema.PROJECTION
    ]
    struct = pa.StructArray.from_arrays(fields, fields=list(schema.PROJECTION))
    new_projections = _lists(offsets_of(np.bincount(span_row[kept], minlength=n)), struct, schema.PROJECTIONS.type)
    changed = {"entities": new_entities, "projections": new_projections}
    columns = [changed.get(name, batch.column(name)) for name in batch.schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _lists(offsets: np.ndarray, struct: pa.StructArray, kind: pa.DataType) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), struct, type=kind)
