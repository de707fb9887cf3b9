"""Packs: files that hold the content of many manifests, so that a long history is listed with a few reads.

    root/packs/<hash>.pack        Parquet with rows of `manifest_table.SCHEMA`; the name is a hash of the content

A pack commits nothing. The manifests stay where they are, and a row of a pack counts only if the manifest's file has the stamp
that it had when it was packed. So a manifest that was deleted or replaced is never taken from a pack, whoever did it. A pack that
is gone, damaged or of another version costs time only: its manifests are read one by one, and the next `write_pack` packs them.

The driver packs after it has listed a store. A new pack takes in the packs that are not much larger than itself, so a store has
about ten packs for a million shards. A writer may die between any two steps, and several may work at a time: the same row in two
packs is no conflict.
"""

from __future__ import annotations

import logging

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.errors import UserError
from xner_ray.storage.blob_store import BlobStore
from xner_ray.storage.fingerprint import hash_bytes
from xner_ray.storage.manifest_table import SCHEMA, Manifests, row_keys

log = logging.getLogger(__name__)

FOLDER = "packs"
MIN_LOOSE = 256  # manifests that no pack holds; fewer are read in a fraction of a second
_SUFFIX, _HASH_DIGITS = ".pack", 32  # another suffix than that of data, which users read by a pattern


def read_packs(blobs: BlobStore) -> Manifests:
    """The rows of all packs. The manifests of some may not exist any more."""
    tables = [table for table in _read_all(blobs).values() if table is not None]
    return Manifests(pa.concat_tables([SCHEMA.empty_table(), *tables]))


def write_pack(blobs: BlobStore, listed: Manifests) -> Manifests:
    """Pack the manifests of a store if enough of them are in no pack.

    Args:
        blobs: the store.
        listed: all its manifests.

    Returns:
        The manifests, with the number of those that no pack holds now.

    Raises:
        UserError: no space or no permission. Nothing that was committed is lost.
    """
    if listed.num_loose < MIN_LOOSE:
        return listed
    packs = _read_all(blobs)
    rows, merged, kept = listed.num_loose, [], []
    for name, table in sorted(packs.items(), key=lambda item: item[1].num_rows if item[1] is not None else 0):
        if table is None or table.num_rows <= 2 * rows:
            merged.append(name)
            rows += 0 if table is None else table.num_rows
        else:
            kept.append(row_keys(table))
    packed = pa.concat_arrays([pa.array([], pa.string()), *kept])
    table = listed.table.filter(pc.invert(pc.is_in(row_keys(listed.table), value_set=packed)))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data = memoryview(sink.getvalue())
    new = f"{FOLDER}/{hash_bytes(data)[:_HASH_DIGITS]}{_SUFFIX}"
    blobs.write(new, data, "pack")
    for name in merged:
        if name != new:
            blobs.delete(name)
    return Manifests(listed.table)


def _read_all(blobs: BlobStore) -> dict[str, pa.Table | None]:
    """The packs of a store by name; None for a pack that cannot be used."""
    names = [name for name in blobs.entries(FOLDER) if name.endswith(_SUFFIX)]
    return {name: _read(blobs, name) for name in sorted(names)}


def _read(blobs: BlobStore, name: str) -> pa.Table | None:
    try:
        data = blobs.read(name)
    except UserError as e:
        log.warning("a pack is not used, so its manifests are read one by one: %s", e)
        return None
    if data is None:  # another driver merged it meanwhile
        return None
    if hash_bytes(data)[:_HASH_DIGITS] != name[len(FOLDER) + 1 : -len(_SUFFIX)]:
        log.warning("%s is damaged: its manifests are read one by one, and packed again", blobs.path(name))
        return None
    table = pq.ParquetFile(pa.BufferReader(data)).read()
    return table if table.schema.equals(SCHEMA) else None  # of another version
