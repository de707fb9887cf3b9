"""Archives -> shards for one target language: a streaming pass over each corpus, never unpacked to disk.

Two ways through, with the same reading, cleaning and shards. With `ingest.max_pairs_per_language` the sample is drawn first; only
sampled rows are decoded, cleaned, freed of exact duplicates and shuffled across corpora, all in memory. Without it
every pair streams through, corpora by name and lines in order, and duplicates by key are found through sorted runs on
disk (generation.py), in memory that does not depend on how much there is; nothing is shuffled.
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
from xner_ray.text.sentence_keys import splitmix64

_SLICE = 20_000  # sampled rows that are decoded at once


def ingest(
    config: Config, language: str, out: Path, progress: Progress | None = None, mapper: Mapper = map
) -> IngestReport:
    """Read, sample, clean and shard the corpora of one target language.

    Args:
        config: `corpora`, `ingest` and `seed` decide.
        language: target language, ISO 639-1.
        out: folder that appears when all is done; a finished one is left as it is.
        progress: called with a corpus's name and the lines read of it so far.
        mapper: runs the tasks of a whole ingest, see generation.py; one that leaves this process gets no `progress`.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable; `out` was made by another config.
    """
    out, made_from = Path(out), _made_from(config, language)
    if (done := load_report(out)) is not None:
        _check_same(done, made_from, out)
        return done
    with new_dir(out, "out") as folder:
        sources = sources_of(config, language)
        if config.ingest.max_pairs_per_language is None:
            counts, shards = _whole(folder, sources, progress, mapper)
        else:
            with quarantine_writer(folder / "quarantine.parquet") as quarantine:
                sample = _Sample(sources, config.seed, ShardWriter(folder, config.ingest.shard_rows), quarantine)
                counts, shards = sample.draw(config.ingest.max_pairs_per_language, progress)
        report = IngestReport(language, config.seed, counts, shards, made_from)
        if not report.rows:
            remedy = "check the files and `min_score`"
            raise UserError(f"no pair of `{language}` is left: {_told(counts)}", key="corpora", remedy=remedy)
        report.save(folder)
    return report


def _whole(
    folder: Path, sources: list[Source], progress: Progress | None, mapper: Mapper
) -> tuple[dict[str, CorpusCount], list[Shard]]:
    staging, sources = folder / "staging", sorted(sources, key=lambda s: s.label)
    places = {source.label: staging / str(i) for i, source in enumerate(sources)}
    made = build_generation(folder, places, sources, mapper=mapper, progress=progress)
    shutil.rmtree(staging)
    return made.counts, made.shards


class _Sample:
    """A sample on its way: what is held of each corpus, and where its rows go."""

    def __init__(self, sources: list[Source], seed: int, writer: ShardWriter, quarantine: pq.ParquetWriter):
        self.sources, self.seed, self.writer, self.quarantine = sources, seed, writer, quarantine
        self.counts: dict[str, CorpusCount] = {}

    def draw(self, total: int, progress: Progress | None) -> tuple[dict[str, CorpusCount], list[Shard]]:
        held: dict[str, BottomK] = {}
        readers = [CorpusReader(source, self.quarantine, progress) for source in self.sources]
        weights = {r.source.label: r.source.corpus.weight for r in readers}
        for reader in readers:
            label = reader.source.label
            self.counts[label], held[label] = reader.count, BottomK(total)
            for chunk in reader.read():
                held[label].add(to_table(chunk), self._hashes(reader.source, chunk.pair_id))
            for name, quota in quotas({n: h.seen for n, h in held.items()}, total, weights).items():
                held[name].trim(quota + MAX_QUOTA_GROWTH)
        for name, quota in quotas({n: h.seen for n, h in held.items()}, total, weights).items():
            held[name].trim(quota)
        tables, orders = [], []
        for reader in readers:
            for chunk in _chunks(held.pop(reader.source.label).result()):
                good = reader.clean(chunk).pairs
                tables.append(good)
                orders.append(splitmix64(self._hashes(reader.source, good["pair_id"].to_numpy())))
            reader.check_quarantined()
        if tables:
            self._shuffle(pa.concat_tables(tables), np.concatenate(orders))
        return self.counts, self.writer.close()

    def _hashes(self, source: Source, pair_id: np.ndarray) -> np.ndarray:
        return pair_hash(self.seed, source.corpus.name, source.languages[1], pair_id)

    def _shuffle(self, table: pa.Table, order: np.ndarray) -> None:
        """Drop exact duplicates, the first one in the order of the corpora stays, and write in hash order."""
        # `order` is a second hash: the first is small for all that is sampled from a large corpus, and would
        # put it in front.
        first = _first_of_equals(table)
        for name, lost in Counter(table["corpus"].filter(pa.array(~first)).to_pylist()).items():
            self.counts[name].duplicates += lost
            self.counts[name].rows -= lost
        keep = np.flatnonzero(first)
        keep = keep[np.argsort(order[keep], kind="stable")]
        for at in range(0, len(keep), _SLICE):
            self.writer.add(table.take(pa.array(keep[at : at + _SLICE])))


def _first_of_equals(table: pa.Table) -> np.ndarray:
    """Mask of rows that no earlier row equals in both sides. A tab joins them unambiguously: cleaning left none."""
    sides = [table[name].combine_chunks().cast(pa.large_string()) for name in ("source", "target")]
    codes = (
        pc.binary_join_element_wise(*sides, pa.scalar("\t", pa.large_string())).dictionary_encode().indices.to_numpy()
    )
    mask = np.zeros(len(codes), bool)
    mask[np.unique(codes, return_index=True)[1]] = True
    return mask


def _chunks(table: pa.Table | None) -> Iterator:
    """A sample as chunks small enough to be decoded at once."""
    for at in range(0, table.num_rows if table is not None else 0, _SLICE):
        yield to_chunk(table.slice(at, _SLICE))  # type: ignore[union-attr]


def _told(counts: dict[str, CorpusCount]) -> str:
    return "; ".join(
        f"{name}: read {c.read}, below min_score {c.below_score}, quarantined {c.rejected}, dropped {c.turned_away}"
        for name, c in counts.items()
    )


def _made_from(config: Config, language: str) -> dict:
    """What decides about the content; `max_quarantined` and `data` do not."""
    corpora = [c.model_dump(mode="json", exclude={"languages"}) for c in config.corpora_of(language)]
    keys = {key: value for key, value in config.ingest.fingerprint().items() if key != "max_quarantined"}
    return {"corpora": corpora, "ingest": keys, "seed": config.seed, "languages": [config.source_language, language]}


def _check_same(done: IngestReport, made_from: dict, out: Path) -> None:
    for key, value in made_from.items():
        if done.made_from.get(key) != value:
            remedy = "choose another `out` (or `name`), or remove the folder"
            raise UserError("was made by another config", file=out, key=key, remedy=remedy)
