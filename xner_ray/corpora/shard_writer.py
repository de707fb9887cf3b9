"""Writing shards: Parquet with fixed settings, in a folder that appears under its name only when it is complete.

The same rows give the same bytes (of one pyarrow version), so hashes of shards can tell a changed input from an
unchanged one. A killed ingest leaves a hidden folder beside the output, which the next one on the same machine
sweeps; it is started anew rather than resumed, for reading is cheap against all that follows.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.errors import UserError
from xner_ray.schema import PAIR, QUARANTINE
from xner_ray.storage.blob_store import sync_folder, sync_tree

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


@contextmanager
def appearing_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, renamed to `out` when the block ends well, removed when it does not.

    Raises:
        UserError: `out` holds something already, or its parent cannot be written.
    """
    out = Path(out).absolute()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(
            "is there already but is no finished ingest", file=out, remedy="remove it or choose another `out`"
        )
    temporary = out.parent / f".{out.name}.{socket.gethostname()}-{os.getpid()}.partial"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as e:
        raise UserError(
            f"cannot be written: {e}", file=out, key="out", remedy="choose a folder with write access"
        ) from e
    try:
        yield temporary
        sync_tree(temporary)
        os.replace(temporary, out)  # onto a folder that is not empty this fails, so of two writers one succeeds
        sync_folder(out.parent)
    except OSError as e:
        if out.exists() and any(out.iterdir()):
            remedy = "run the same command again: it goes on from there"
            raise UserError("another process finished this first", file=out, remedy=remedy) from e
        raise UserError(
            f"cannot be written: {e}", file=out, key="out", remedy="make room, or choose another `out`"
        ) from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(out: Path) -> None:
    """Remove what processes of this machine left that are dead; those of others may still be writing."""
    pattern = re.compile(re.escape(f".{out.name}.{socket.gethostname()}-") + r"(\d+)\.partial")
    for path in out.parent.iterdir():
        found = pattern.fullmatch(path.name)
        if found and not _alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
