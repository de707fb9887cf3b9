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
    "use_dictionary": ["corpus", "domain", "language"],  # columns whose values repeat
    "version": "2.6",
    "data_page_version": "1.0",
    "write_statistics": ["pair_id"],
    "store_schema": True,
}


@dataclass(frozen=True)
class Shard:
    """A shard on disk.

    Attributes:
        file: name in its folder.
        rows: number of pairs.
        sha256: hash of the file, 64 hex digits.
    """

    file: str
    rows: int
    sha256: str


class ShardWriter:
    """Cuts a stream of tables into shards. Holds one shard and one chunk in memory.

    Args:
        folder: where the shards are written.
        shard_rows: rows of each shard but the last.
        first: number of the first shard.
    """

    def __init__(self, folder: Path, shard_rows: int, first: int = 0):
        self.folder, self.shard_rows, self.first = folder, shard_rows, first
        self.shards: list[Shard] = []
        self._tables: list[pa.Table] = []
        self._rows = 0

    def add(self, table: pa.Table) -> None:
        """Add pairs, a table of schema PAIR."""
        self._tables.append(table)
        self._rows += table.num_rows
        if self._rows >= self.shard_rows:
            table = pa.concat_tables(self._tables)
            end = table.num_rows - table.num_rows % self.shard_rows
            for start in range(0, end, self.shard_rows):
                self._write(table.slice(start, self.shard_rows))
            self._tables, self._rows = [table.slice(end)], table.num_rows - end

    def close(self) -> list[Shard]:
        """Write the last shard, and return all of them."""
        if self._rows:
            self._write(pa.concat_tables(self._tables))
        self._tables, self._rows = [], 0
        return self.shards

    def _write(self, table: pa.Table) -> None:
        # The chunks are combined because their sizes would change the pages and so the bytes of the file.
        sink = pa.BufferOutputStream()
        pq.write_table(table.combine_chunks(), sink, row_group_size=self.shard_rows, **_SETTINGS)
        data = sink.getvalue()
        name = f"shard-{self.first + len(self.shards):05d}.parquet"
        (self.folder / name).write_bytes(data)
        self.shards.append(Shard(name, table.num_rows, hashlib.sha256(data).hexdigest()))


def quarantine_writer(path: Path) -> pq.ParquetWriter:
    """Open a Parquet file of schema QUARANTINE; the caller closes it."""
    return pq.ParquetWriter(path, QUARANTINE, **_SETTINGS)


def parquet_settings(dictionary: list[str]) -> dict[str, Any]:
    """Return the fixed settings of a Parquet writer.

    Args:
        dictionary: columns whose values repeat.
    """
    return {**_SETTINGS, "use_dictionary": dictionary}


def as_pairs(columns: dict[str, pa.Array]) -> pa.Table:
    """Return a table of schema PAIR. Its 32-bit strings hold 2 GiB a chunk, far more than a chunk has."""
    arrays = [columns[f.name].cast(f.type) for f in PAIR]
    return pa.Table.from_arrays(arrays, schema=PAIR)
