"""The sample of one target language, in two steps of independent tasks.

    draw     a task per corpus: reads it once, and keeps the rows with the smallest hashes
    write    one task: quotas, filters, exact duplicates, order, shards

A quota depends on the sizes of all corpora, so `draw` keeps as many rows of a corpus as the sample has in all. They go through
files, so the driver holds counts alone. A task holds up to twice the sample in memory.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.corpora.generation import Mapper
from xner_ray.corpora.ingest_report import CorpusCount
from xner_ray.corpora.readers.corpus_reader import CorpusReader, Progress, Source, to_chunk, to_table
from xner_ray.corpora.readers.formats import Chunk
from xner_ray.corpora.sampling import BottomK, pair_hash, quotas
from xner_ray.corpora.shard_writer import Shard, ShardWriter, quarantine_writer
from xner_ray.storage.failpoints import failpoint

_DECODE_ROWS = 20_000  # sampled rows that are decoded at a time
Written = tuple[dict[str, CorpusCount], list[Shard]]


def ingest_sample(
    folder: Path,
    sources: Sequence[Source],
    seed: int,
    total: int,
    progress: Progress | None,
    mapper: Mapper = map,
    read_mapper: Mapper | None = None,
) -> Written:
    """Draw a sample of the sources, filter it and write it to shards and quarantine.

    Args:
        folder: an existing folder, which all workers see.
        sources: the corpora; of equal pairs, the one in the earlier source is kept.
        seed: of the sample.
        total: pairs to draw from all sources.
        progress: see `CorpusReader`.
        mapper: runs the tasks. It may pickle functions and items if there is no `progress`.
        read_mapper: runs the tasks that read corpora, which may be from servers. Default: `mapper`.

    Returns:
        counts by label of the corpus, and the shards.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable.
    """
    drawn = folder / "drawn"
    drawn.mkdir()
    items = [(source, drawn / f"{i}.arrow") for i, source in enumerate(sources)]
    corpora = list((read_mapper or mapper)(partial(_draw, seed=seed, total=total, progress=progress), items))
    failpoint("ingest.drawn")
    (written,) = mapper(partial(_write, folder=folder, seed=seed, total=total), [corpora])
    shutil.rmtree(drawn)
    return written


@dataclass(frozen=True)
class _Drawn:
    """A corpus that was read: the file with the rows that may be sampled, the number of all rows, and the counts so far."""

    source: Source
    file: Path
    seen: int
    count: CorpusCount

    def rows(self, quota: int, seed: int) -> pa.Table:
        """The rows of the sample, in the order of the corpus."""
        with pa.memory_map(str(self.file)) as file:
            table = pa.ipc.open_file(file).read_all()
            hashes = _hashes(self.source, table["pair_id"].to_numpy(), seed)
            if len(hashes) <= quota:
                return table
            smallest = np.argpartition(hashes, quota - 1)[:quota] if quota else np.zeros(0, np.int64)
            return table.take(pa.array(np.sort(smallest)))


def _draw(item: tuple[Source, Path], *, seed: int, total: int, progress: Progress | None) -> _Drawn:
    source, file = item
    reader, sample = CorpusReader(source, None, progress), BottomK(total)
    for chunk in reader.read():
        sample.add(to_table(chunk), _hashes(source, chunk.pair_id, seed))
    table = sample.result()
    assert table is not None  # a corpus without a line is an error of the reader
    with pa.ipc.new_file(str(file), table.schema) as writer:
        writer.write_table(table)
    return _Drawn(source, file, sample.seen, reader.count)


def _write(corpora: Sequence[_Drawn], *, folder: Path, seed: int, total: int) -> Written:
    weights = {x.source.label: x.source.corpus.weight for x in corpora}
    quota = quotas({x.source.label: x.seen for x in corpora}, total, weights)
    counts: dict[str, CorpusCount] = {}
    tables, positions = [], []
    with quarantine_writer(folder / "quarantine.parquet") as quarantine:
        for corpus in corpora:
            source, reader = corpus.source, CorpusReader(corpus.source, quarantine, count=corpus.count)
            counts[source.label] = reader.count
            sample = corpus.rows(quota[source.label], seed)
            sorted_hashes = np.sort(_hashes(source, sample["pair_id"].to_numpy(), seed))
            for chunk in _chunks(sample):
                good = reader.clean(chunk).pairs
                tables.append(good)
                ranks = np.searchsorted(sorted_hashes, _hashes(source, good["pair_id"].to_numpy(), seed))
                positions.append((ranks + 1) / source.corpus.weight)
            reader.finish()
    writer = ShardWriter(folder, corpora[0].source.ingest.shard_rows)
    if tables:
        _write_shards(pa.concat_tables(tables), np.concatenate(positions), counts, writer)
    return counts, writer.close()


def _hashes(source: Source, pair_id: np.ndarray, seed: int) -> np.ndarray:
    return pair_hash(seed, source.corpus.name, source.languages[1], pair_id)


def _write_shards(table: pa.Table, positions: np.ndarray, counts: dict[str, CorpusCount], writer: ShardWriter) -> None:
    """Write the rows in the order of their positions, without exact duplicates of rows before them.

    The position of a row is its rank in the sample of its corpus, divided by the weight of the corpus. So each part of the
    order has the corpora in the proportions of a sample of that size.
    """
    order = np.argsort(positions, kind="stable")
    keep = order[_first_of_equals(table, order)]
    is_kept = np.zeros(table.num_rows, bool)
    is_kept[keep] = True
    for name, dropped in Counter(table["corpus"].filter(pa.array(~is_kept)).to_pylist()).items():
        counts[name].duplicates += dropped
        counts[name].rows -= dropped
    for at in range(0, len(keep), _DECODE_ROWS):
        writer.add(table.take(pa.array(keep[at : at + _DECODE_ROWS])))


def _first_of_equals(table: pa.Table, order: np.ndarray) -> np.ndarray:
    """Places in `order` whose row no row before equals on both sides, ascending. Sides are joined by a tab, which text lacks."""
    sides = [table[name].combine_chunks().cast(pa.large_string()) for name in ("source", "target")]
    codes = (
        pc.binary_join_element_wise(*sides, pa.scalar("\t", pa.large_string())).dictionary_encode().indices.to_numpy()
    )
    return np.sort(np.unique(codes[order], return_index=True)[1])


def _chunks(table: pa.Table) -> Iterator[Chunk]:
    """A sample as chunks of `_DECODE_ROWS` rows."""
    for at in range(0, table.num_rows, _DECODE_ROWS):
        yield to_chunk(table.slice(at, _DECODE_ROWS))
