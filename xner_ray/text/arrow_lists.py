"""Lists of entities and spans as flat arrays: what the rules count and compare instead of rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from xner_ray.text.arrow_strings import list_offsets


def flat(lists: pa.ListArray, *names: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The row of each element, and its fields as arrays (strings as codes)."""
    rows = np.repeat(np.arange(len(lists)), np.diff(list_offsets(lists)))
    struct = lists.flatten()
    fields = [struct.field(name) for name in names]
    return rows, [codes(f) if pa.types.is_string(f.type) else f.to_numpy() for f in fields]


def codes(strings: pa.Array) -> np.ndarray:
    return strings.dictionary_encode().indices.to_numpy().astype(np.int64)


def first_equal(rows: np.ndarray, names: np.ndarray, types: np.ndarray) -> np.ndarray:
    """For each entity the flat index of the first one in its row with its name and type."""
    order = np.lexsort((types, names, rows))  # stable: equal entities stay in order
    new = changes(rows[order], names[order], types[order])
    first = np.empty(len(rows), np.int64)
    first[order] = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    return first


def changes(*columns: np.ndarray) -> np.ndarray:
    """True where a sorted sequence of keys begins a new one."""
    new = np.ones(len(columns[0]), bool)
    if len(new):
        new[1:] = np.any([c[1:] != c[:-1] for c in columns], axis=0)
    return new
