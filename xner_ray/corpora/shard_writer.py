"""Writing shards: Parquet with fixed settings.

The same rows give the same bytes (with one version of pyarrow), so the hash of a shard shows whether its input changed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.schema import PAIR, QUARANTINE

_SETTINGS: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "use_dictionary": ["corpus", "domain", "language"],  # text hardly ever repeats
    "version": "2.6",
    "data_page_version": "1.0",
    "write_statistics": ["pair_id"],
    "store_schema": True,
}


@dataclass(frozen=True)
class Shard:
    """file: name in the folder. rows: pairs. sha256: of the file's bytes, hex."""

    file: str
    rows: int
    sha256: str


class ShardWriter:
    """Cuts a stream of tables into shards of `shard_rows` rows, numbered from `first`; holds one shard and one chunk."""

    def __init__(self, folder: Path, shard_rows: int, first: int = 0):
        self.folder, self.shard_rows, self.first = folder, shard_rows, first
        self.shards: list[Shard] = []
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Pairs, of schema PAIR."""
        self._tables.append(table)
        self._rows += table.num_rows
        if self._rows >= self.shard_rows:
            held = pa.concat_tables(self._tables)
            cut = held.num_rows - held.num_rows % self.shard_rows
            for at in range(0, cut, self.shard_rows):
                self._write(held.slice(at, self.shard_rows))
            self._tables, self._rows = [held.slice(cut)], held.num_rows - cut

    def close(self) -> list[Shard]:
        """Write the last, shorter shard."""
        if self._rows:
            self._write(pa.concat_tables(self._tables))
        self._tables, self._rows = [], 0
        return self.shards

    def _write(self, table: pa.Table) -> None:
        # One buffer in memory gives the file and its hash in one go; combining first, since chunks would
        # shape the pages.
        sink = pa.BufferOutputStream()
        pq.write_table(table.combine_chunks(), sink, row_group_size=self.shard_rows, **_SETTINGS)
        data = sink.getvalue()
        name = f"shard-{self.first + len(self.shards):05d}.parquet"
        (self.folder / name).write_bytes(data)
        self.shards.append(Shard(name, table.num_rows, hashlib.sha256(data).hexdigest()))


def quarantine_writer(path: Path) -> pq.ParquetWriter:
    """A Parquet file of schema QUARANTINE, to be filled and closed by the caller."""
    return pq.ParquetWriter(path, QUARANTINE, **_SETTINGS)


def parquet_settings(dictionary: list[str]) -> dict[str, Any]:
    """The fixed writer settings, with dictionaries for the columns that repeat."""
    return {**_SETTINGS, "use_dictionary": dictionary}


def as_pairs(columns: dict[str, pa.Array]) -> pa.Table:
    """A table of schema PAIR; the schema's 32-bit strings hold 2 GiB a chunk, far more than a chunk has."""
    arrays = [columns[f.name].cast(f.type) for f in PAIR]
    return pa.Table.from_arrays(arrays, schema=PAIR)
