"""The manifests of a store as one table, and how a store is listed.

A listing asks the store for the names and stamps of all manifests. Packs (`manifest_packs.py`) hold the content of most of them,
so only the manifests that no pack holds are read one by one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.storage.blob_store import BlobStore
from xner_ray.storage.file_entry import FileEntry
from xner_ray.storage.manifest import FOLDER, SUFFIX, Manifest, manifest_file

# `stamp` is that of the manifest's file. `extra` is JSON, and may be large.
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("shard", "stamp", "attempt")),
        *((name, pa.int64()) for name in ("rows", "size")),
        *((name, pa.string()) for name in ("sha256", "input_hash")),
        ("extra", pa.large_string()),
    ]
)
_to_json = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False
).encode  # `json.dumps` makes a new encoder each time
_THREADS, _MAX_BATCH = 16, 256  # an object store takes 10 ms for an answer, and gives many at once


class Manifests(Mapping[str, Manifest]):
    """Manifests by the name of their shard, sorted. An object is made when it is asked for.

    250,000 objects take seconds and some 400 MB. `column` gives a field of all manifests without them.

    Args:
        table: with `SCHEMA`, sorted by `shard`.
        num_loose: number of the manifests that no pack holds.
    """

    def __init__(self, table: pa.Table | None = None, num_loose: int = 0):
        self.table: pa.Table = SCHEMA.empty_table() if table is None else table.combine_chunks()
        self.num_loose = num_loose

    @cached_property
    def _rows(self) -> dict[str, int]:
        return {shard: row for row, shard in enumerate(self.column("shard"))}

    def __getitem__(self, shard: str) -> Manifest:
        return next(_manifests(self.table.slice(self._rows[shard], 1)))

    def objects(self) -> Iterator[Manifest]:
        """All manifests, much faster than one by one."""
        return _manifests(self.table)

    def __contains__(self, shard: object) -> bool:
        return shard in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return self.table.num_rows

    def column(self, name: str) -> list[Any]:
        """A field of each manifest, in the order of the shards' names."""
        return self.table.column(name).to_pylist()

    def files(self) -> list[str]:
        """The data file of each shard."""
        return [f"{shard}.{attempt}.parquet" for shard, attempt in self._zip("shard", "attempt")]

    def extras(self) -> Iterator[dict[str, Any]]:
        """The field `extra` of each manifest."""
        return map(json.loads, self.column("extra"))

    def by_shard(self, name: str) -> dict[str, Any]:
        """A field of each manifest by the name of its shard."""
        return dict(self._zip("shard", name))

    def select(self, shards: Iterable[str]) -> Manifests:
        """The manifests of some shards. Shards without a manifest are left out."""
        rows = sorted(self._rows[shard] for shard in set(shards) if shard in self._rows)
        return self if len(rows) == len(self) else Manifests(self.table.take(pa.array(rows, pa.int64())))

    def _zip(self, *names: str) -> Iterator[tuple[Any, ...]]:
        return zip(*map(self.column, names), strict=True)


def list_manifests(blobs: BlobStore, entries: Mapping[str, FileEntry], known: Manifests) -> Manifests:
    """The manifests of a store.

    Args:
        blobs: the store.
        entries: the files of the folder `manifest`.
        known: manifests that were read before. One whose file has another stamp now is read again.

    Raises:
        UserError: a manifest is corrupt.
    """
    start, end = len(FOLDER) + 1, -len(SUFFIX)
    stamps = {name[start:end]: entry.stamp for name, entry in entries.items() if name.endswith(SUFFIX)}
    names = pa.array(stamps.keys(), pa.string())
    places = pc.index_in(_keys(names, pa.array(stamps.values(), pa.string())), value_set=row_keys(known.table))
    loose = read_loose(blobs, sorted(names.filter(places.is_null()).to_pylist()))
    table = pa.concat_tables([known.table.take(places.drop_null()), _as_table(loose, stamps)])
    return Manifests(table.sort_by("shard"), known.num_loose + len(loose))


def read_loose(blobs: BlobStore, shards: Sequence[str]) -> list[Manifest]:
    """The manifests of shards, read one by one. Shards that are not committed are left out.

    Raises:
        UserError: a manifest is corrupt.
    """

    def read(batch: Sequence[str]) -> list[Manifest]:
        texts = ((shard, blobs.read(manifest_file(shard))) for shard in batch)
        return [Manifest.from_json(text, blobs.path(manifest_file(s))) for s, text in texts if text is not None]

    size = max(1, min(_MAX_BATCH, len(shards) // (4 * _THREADS)))
    batches = [shards[at : at + size] for at in range(0, len(shards), size)]
    with ThreadPoolExecutor(_THREADS) as threads:
        return [manifest for manifests in threads.map(read, batches) for manifest in manifests]


def _manifests(table: pa.Table) -> Iterator[Manifest]:
    names = [name for name in SCHEMA.names if name not in ("stamp", "extra")]
    columns = [table.column(name).to_pylist() for name in names]
    for extra, *values in zip(table.column("extra").to_pylist(), *columns, strict=True):
        fields = dict(zip(names, values, strict=True))
        file = f"{fields['shard']}.{fields['attempt']}.parquet"
        yield Manifest(**fields, file=file, extra=json.loads(extra))


def _as_table(manifests: Sequence[Manifest], stamps: Mapping[str, str]) -> pa.Table:
    columns: dict[str, list[Any]] = {
        name: [getattr(m, name) for m in manifests] for name in SCHEMA.names if name not in ("stamp", "extra")
    }
    columns["stamp"] = [stamps[m.shard] for m in manifests]
    columns["extra"] = [_to_json(m.extra) for m in manifests]
    return pa.table(columns, SCHEMA)


def row_keys(table: pa.Table) -> pa.Array:
    """A text for each row that identifies its manifest: the shard and the stamp of the file."""
    return _keys(*(table.column(name).combine_chunks() for name in ("shard", "stamp")))


def _keys(shards: pa.Array, stamps: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(shards, stamps, "/")
