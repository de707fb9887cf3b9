"""From archives to shards, for one target language. Archives are streamed and never unpacked to disk.

There are two ways, with the same readers, filters and shards. With `ingest.max_pairs_per_language` the sample is drawn
first. Only sampled rows are decoded, filtered, cleared of exact duplicates and mixed across corpora, all in memory. The
sample is a prefix of each larger sample, so the shards of both are the same but for the last of the smaller one.
Without it, every pair is streamed in the order of corpora and lines, and duplicates are found by sorted runs of keys on
disk (generation.py). This takes constant memory and does not shuffle.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xner_ray.config import Config
from xner_ray.corpora.generation import Mapper, build_generation
from xner_ray.corpora.ingest_report import CorpusCount, IngestReport, load_report
from xner_ray.corpora.readers.corpus_reader import CorpusReader, Progress, Source, sources_of, to_chunk, to_table
from xner_ray.corpora.sampling import MAX_QUOTA_GROWTH, BottomK, pair_hash, quotas
from xner_ray.corpora.shard_writer import Shard, ShardWriter, quarantine_writer
from xner_ray.errors import UserError
from xner_ray.storage.atomic import new_dir

_DECODE_ROWS = 20_000  # sampled rows that are decoded at a time


def ingest(
    config: Config, language: str, out: Path, progress: Progress | None = None, mapper: Mapper = map
) -> IngestReport:
    """Read, sample, clean and shard the corpora of one target language.

    Args:
        config: its `corpora`, `ingest` and `seed` determine the shards.
        language: target language, ISO 639-1.
        out: a folder that appears when the ingest is complete. A complete one is not changed.
        progress: called with the label of a corpus and the number of lines read so far.
        mapper: runs the tasks of an ingest without sampling, see generation.py. Without `progress` it may use other processes.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable, or `out` was made with another config.
    """
    out, made_from = Path(out), _made_from(config, language)
    if (finished := load_report(out)) is not None:
        _check_same(finished, made_from, out)
        return finished
    with new_dir(out, "out") as folder:
        sources = sources_of(config, language)
        if config.ingest.max_pairs_per_language is None:
            counts, shards = _ingest_all(folder, sources, progress, mapper)
        else:
            with quarantine_writer(folder / "quarantine.parquet") as quarantine:
                sample = _Sample(sources, config.seed, ShardWriter(folder, config.ingest.shard_rows), quarantine)
                counts, shards = sample.draw(config.ingest.max_pairs_per_language, progress)
        report = IngestReport(language, config.seed, counts, shards, made_from)
        if not report.rows:
            remedy = "check the files, `min_score` and the filters under `ingest.clean`"
            raise UserError(f"no pair of `{language}` is left: {_summary(counts)}", key="corpora", remedy=remedy)
        report.save(folder)
    return report


def _ingest_all(
    folder: Path, sources: list[Source], progress: Progress | None, mapper: Mapper
) -> tuple[dict[str, CorpusCount], list[Shard]]:
    staging, sources = folder / "staging", sorted(sources, key=lambda s: s.label)
    folders = {source.label: staging / str(i) for i, source in enumerate(sources)}
    generation = build_generation(folder, folders, sources, mapper=mapper, progress=progress)
    shutil.rmtree(staging)
    return generation.counts, generation.shards


class _Sample:
    """Draws a sample of the sources, filters it and writes it to shards and quarantine."""

    def __init__(self, sources: list[Source], seed: int, writer: ShardWriter, quarantine: pq.ParquetWriter):
        self.sources, self.seed, self.writer, self.quarantine = sources, seed, writer, quarantine
        self.counts: dict[str, CorpusCount] = {}

    def draw(self, total: int, progress: Progress | None) -> tuple[dict[str, CorpusCount], list[Shard]]:
        samples: dict[str, BottomK] = {}
        readers = [CorpusReader(source, self.quarantine, progress) for source in self.sources]
        weights = {r.source.label: r.source.corpus.weight for r in readers}
        for reader in readers:
            label = reader.source.label
            self.counts[label], samples[label] = reader.count, BottomK(total)
            for chunk in reader.read():
                samples[label].add(to_table(chunk), self._hashes(reader.source, chunk.pair_id))
            for name, quota in quotas({n: x.seen for n, x in samples.items()}, total, weights).items():
                samples[name].trim(quota + MAX_QUOTA_GROWTH)
        for name, quota in quotas({n: x.seen for n, x in samples.items()}, total, weights).items():
            samples[name].trim(quota)
        tables, positions = [], []
        for reader in readers:
            source, sample = reader.source, samples.pop(reader.source.label).result()
            ids = np.zeros(0, np.int64) if sample is None else sample["pair_id"].to_numpy()
            sorted_hashes = np.sort(self._hashes(source, ids))
            for chunk in _chunks(sample):
                good = reader.clean(chunk).pairs
                tables.append(good)
                ranks = np.searchsorted(sorted_hashes, self._hashes(source, good["pair_id"].to_numpy()))
                positions.append((ranks + 1) / source.corpus.weight)
            reader.finish()
        if tables:
            self._write(pa.concat_tables(tables), np.concatenate(positions))
        return self.counts, self.writer.close()

    def _hashes(self, source: Source, pair_id: np.ndarray) -> np.ndarray:
        return pair_hash(self.seed, source.corpus.name, source.languages[1], pair_id)

    def _write(self, table: pa.Table, positions: np.ndarray) -> None:
        """Write the rows in the order of their positions, without exact duplicates of rows before them.

        The position of a row is its rank in the sample of its corpus, divided by the weight of the corpus. So each part of the
        order has the corpora in the proportions of a sample of that size.
        """
        order = np.argsort(positions, kind="stable")
        keep = order[_first_of_equals(table, order)]
        is_kept = np.zeros(table.num_rows, bool)
        is_kept[keep] = True
        for name, dropped in Counter(table["corpus"].filter(pa.array(~is_kept)).to_pylist()).items():
            self.counts[name].duplicates += dropped
            self.counts[name].rows -= dropped
        for at in range(0, len(keep), _DECODE_ROWS):
            self.writer.add(table.take(pa.array(keep[at : at + _DECODE_ROWS])))


def _first_of_equals(table: pa.Table, order: np.ndarray) -> np.ndarray:
    """Places in `order` whose row no row before equals on both sides, ascending. Sides are joined by a tab, which text lacks."""
    sides = [table[name].combine_chunks().cast(pa.large_string()) for name in ("source", "target")]
    codes = (
        pc.binary_join_element_wise(*sides, pa.scalar("\t", pa.large_string())).dictionary_encode().indices.to_numpy()
    )
    return np.sort(np.unique(codes[order], return_index=True)[1])


def _chunks(table: pa.Table | None) -> Iterator:
    """A sample as chunks of `_DECODE_ROWS` rows."""
    for at in range(0, table.num_rows if table is not None else 0, _DECODE_ROWS):
        yield to_chunk(table.slice(at, _DECODE_ROWS))  # type: ignore[union-attr]


def _summary(counts: dict[str, CorpusCount]) -> str:
    return "; ".join(
        f"{name}: read {c.read}, below min_score {c.below_score}, quarantined {c.num_quarantined}, dropped {c.num_dropped}"
        for name, c in counts.items()
    )


def _made_from(config: Config, language: str) -> dict:
    """The config keys that determine the shards; `max_quarantined` and `data` do not."""
    corpora = [c.model_dump(mode="json", exclude={"languages"}) for c in config.corpora_of(language)]
    keys = {key: value for key, value in config.ingest.fingerprint().items() if key != "max_quarantined"}
    return {"corpora": corpora, "ingest": keys, "seed": config.seed, "languages": [config.source_language, language]}


def _check_same(finished: IngestReport, made_from: dict, out: Path) -> None:
    for key, value in made_from.items():
        if finished.made_from.get(key) != value:
            remedy = "choose another `out` (or `name`), or remove the folder"
            raise UserError("was made with another config", file=out, key=key, remedy=remedy)
