"""Archives -> shards: one streaming pass over each corpus, never unpacked to disk.

Two ways through. With `ingest.pairs` the sample is drawn first and only sampled rows are decoded, cleaned, freed of
exact duplicates and shuffled across corpora. Without it every pair streams through in the order of the corpora, in
memory that does not depend on their size; so nothing is shuffled and duplicates stay, for finding them needs an index
of everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.config import Config, Corpus
from xner_ray.corpus.clean import REASONS, Limits, Pairs, excerpts, judge, prepare, read_scores
from xner_ray.corpus.formats import Chunk, read_corpus
from xner_ray.corpus.report import CorpusCount, IngestReport, load_report
from xner_ray.corpus.sampling import ROUNDING, BottomK, mix, pair_hash, quotas
from xner_ray.corpus.shards import ShardWriter, appearing_folder, as_pairs, quarantine_writer
from xner_ray.errors import UserError
from xner_ray.schema import PAIR, QUARANTINE

Progress = Callable[[str, int], None]
_SLICE = 20_000  # sampled rows that are decoded at once


def ingest(config: Config, language: str, out: Path, progress: Progress | None = None) -> IngestReport:
    """Read, sample, clean and shard the corpora of one target language.

    Args:
        config: `corpora`, `ingest` and `seed` decide.
        language: target language, ISO 639-1.
        out: folder that appears when all is done; a finished one is left as it is.
        progress: called with a corpus's name and the lines read of it so far.

    Raises:
        UserError: a corpus is missing, empty, damaged or mostly unreadable; `out` was made by another config.
    """
    out, made_from = Path(out), _made_from(config, language)
    if (done := load_report(out)) is not None:
        _check_same(done, made_from, out)
        return done
    with appearing_folder(out) as folder:
        run = _Run(config, language, folder, progress or (lambda name, lines: None))
        try:
            if config.ingest.pairs is None:
                run.stream()
            else:
                run.sample(config.ingest.pairs)
        finally:
            run.quarantine.close()
        report = IngestReport(language, config.seed, run.counts, run.writer.close(), made_from)
        if not report.rows:
            raise UserError(
                f"no pair of `{language}` is left: {run.told()}",
                key="corpora",
                remedy="check the files and `min_score`",
            )
        report.save(folder)
    return report


class _Run:
    """One ingest on its way: where rows go and what is counted."""

    def __init__(self, config: Config, language: str, folder: Path, progress: Progress):
        self.config, self.language, self.progress = config, language, progress
        self.corpora = config.corpora_of(language)
        self.counts = {c.name: CorpusCount() for c in self.corpora}
        self.writer = ShardWriter(folder, config.ingest.shard_rows)
        self.quarantine = quarantine_writer(folder / "quarantine.parquet")

    def stream(self) -> None:
        for corpus in self.corpora:
            for chunk in self._read(corpus):
                self.writer.add(self._clean(corpus, chunk))
            self._check_quarantined(corpus)

    def sample(self, total: int) -> None:
        held: dict[str, BottomK] = {}
        weights = {c.name: c.weight for c in self.corpora}
        for corpus in self.corpora:
            held[corpus.name] = BottomK(total)
            for chunk in self._read(corpus):
                hashes = pair_hash(self.config.seed, corpus.name, self.language, chunk.pair_id)
                held[corpus.name].add(_to_table(chunk), hashes)
            for name, quota in quotas({n: h.seen for n, h in held.items()}, total, weights).items():
                held[name].trim(quota + ROUNDING)
        for name, quota in quotas({n: h.seen for n, h in held.items()}, total, weights).items():
            held[name].trim(quota)
        tables, orders = [], []
        for corpus in self.corpora:
            for chunk in _chunks(held.pop(corpus.name).result()):
                good = self._clean(corpus, chunk)
                tables.append(good)
                ids = good["pair_id"].to_numpy()
                orders.append(mix(pair_hash(self.config.seed, corpus.name, self.language, ids)))
            self._check_quarantined(corpus)
        if tables:
            self._shuffle(tables, np.concatenate(orders))

    def _shuffle(self, tables: list[pa.Table], order: np.ndarray) -> None:
        """Drop exact duplicates, the first one in the order of the corpora stays, and write in hash order."""
        # `order` is a second hash: the first is small for all that is sampled from a large corpus, and would
        # put it in front.
        table = pa.concat_tables(tables)
        first = _first_of_equals(table)
        for name, lost in Counter(table["corpus"].filter(pa.array(~first)).to_pylist()).items():
            self.counts[name].duplicates += lost
            self.counts[name].rows -= lost
        keep = np.flatnonzero(first)
        keep = keep[np.argsort(order[keep], kind="stable")]
        for at in range(0, len(keep), _SLICE):
            self.writer.add(table.take(pa.array(keep[at : at + _SLICE])))

    def _read(self, corpus: Corpus) -> Iterator[Chunk]:
        """The pairs of a corpus that are not below `min_score`, counted."""
        count, fill = self.counts[corpus.name], self.config.fill
        path = fill(corpus.path, self.language)
        target_path = fill(corpus.target_path, self.language) if corpus.target_path else None
        for chunk in read_corpus(corpus, self.config.source_language, self.language, path, target_path):
            count.read += len(chunk)
            if corpus.min_score is not None:
                if chunk.score is None:
                    raise _no_scores(corpus, path)
                below = read_scores(chunk)[0] < corpus.min_score  # false for nan: the rules say what is wrong there
                count.below_score += int(below.sum())
                chunk = _to_chunk(_to_table(chunk).filter(pa.array(~below))) if below.any() else chunk
            yield chunk
            self.progress(corpus.name, count.read)
        if not count.read:
            key = f"corpora.{corpus.name}.path"
            raise UserError(
                "holds no pair", file=path, key=key, remedy="remove the corpus from the config or fetch it again"
            )

    def _clean(self, corpus: Corpus, chunk: Chunk) -> pa.Table:
        """The good rows, of schema PAIR; the others go to quarantine."""
        count, limits = self.counts[corpus.name], Limits(self.config.ingest.max_chars, corpus.min_score is not None)
        pairs = prepare(chunk)
        verdict = judge(pairs, limits)
        good = verdict < 0
        count.sampled += len(chunk)
        count.rows += int(good.sum())
        if not good.all():
            self._reject(corpus, _to_chunk(_to_table(chunk).filter(pa.array(~good))), verdict[~good])
        return _good_rows(corpus, self.language, chunk, pairs, good)

    def _reject(self, corpus: Corpus, chunk: Chunk, verdict: np.ndarray) -> None:
        reasons = pa.array(REASONS).take(pa.array(verdict))
        counted = Counter(reasons.to_pylist()) + Counter(self.counts[corpus.name].quarantined)
        self.counts[corpus.name].quarantined = {r: counted[r] for r in REASONS if r in counted}
        n = len(chunk)
        columns = [_same(x, n) for x in (corpus.name, self.language)]
        columns += [pa.array(chunk.pair_id), _same("ingest", n), reasons, pa.array(excerpts(chunk), pa.string())]
        self.quarantine.write_table(pa.Table.from_arrays(columns, schema=QUARANTINE))

    def _check_quarantined(self, corpus: Corpus) -> None:
        count, limit = self.counts[corpus.name], self.config.ingest.max_quarantined
        if count.rejected > limit * count.sampled:
            told = ", ".join(f"{reason} {n}" for reason, n in count.quarantined.items())
            raise UserError(
                f"{count.rejected} of {count.sampled} sampled pairs cannot be used: {told}",
                file=self.config.fill(corpus.path, self.language),
                key=f"corpora.{corpus.name}",
                remedy=f"check `format` and the encoding, or raise ingest.max_quarantined (now {limit})",
            )

    def told(self) -> str:
        return "; ".join(
            f"{name}: read {c.read}, below min_score {c.below_score}, quarantined {c.rejected}"
            for name, c in self.counts.items()
        )


def _good_rows(corpus: Corpus, language: str, chunk: Chunk, pairs: Pairs, good: np.ndarray) -> pa.Table:
    kept, n = pa.array(good), int(good.sum())
    score = pairs.score[good].astype(np.float32)
    columns = {
        "corpus": _same(corpus.name, n),
        "domain": _same(corpus.domain, n),
        "language": _same(language, n),
        "pair_id": pa.array(chunk.pair_id[good]),
        "source": pairs.source if n == len(good) else pairs.source.filter(kept),
        "target": pairs.target if n == len(good) else pairs.target.filter(kept),
        "corpus_score": pa.array(score, mask=np.isnan(score)),
    }
    return as_pairs(columns) if n else PAIR.empty_table()


def _first_of_equals(table: pa.Table) -> np.ndarray:
    """Mask of rows that no earlier row equals in both sides. A tab joins them unambiguously: cleaning left none."""
    sides = [table[name].combine_chunks().cast(pa.large_string()) for name in ("source", "target")]
    codes = (
        pc.binary_join_element_wise(*sides, pa.scalar("\t", pa.large_string())).dictionary_encode().indices.to_numpy()
    )
    mask = np.zeros(len(codes), bool)
    mask[np.unique(codes, return_index=True)[1]] = True
    return mask


def _same(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def _to_table(chunk: Chunk) -> pa.Table:
    score = chunk.score if chunk.score is not None else pa.nulls(len(chunk), pa.large_binary())
    columns = [pa.array(chunk.pair_id), chunk.source, chunk.target, score]
    return pa.Table.from_arrays(columns, names=["pair_id", "source", "target", "score"])


def _to_chunk(table: pa.Table) -> Chunk:
    source, target, score = (_whole(table[name]) for name in ("source", "target", "score"))
    return Chunk(table["pair_id"].to_numpy(), source, target, score)


def _chunks(table: pa.Table | None) -> Iterator[Chunk]:
    """A sample as chunks small enough to be decoded at once."""
    for at in range(0, table.num_rows if table is not None else 0, _SLICE):
        yield _to_chunk(table.slice(at, _SLICE))  # type: ignore[union-attr]


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def _no_scores(corpus: Corpus, path: str) -> UserError:
    key = f"corpora.{corpus.name}.min_score"
    return UserError(
        "there is a `min_score`, but the corpus has no scores", file=path, key=key, remedy="remove `min_score`"
    )


def _made_from(config: Config, language: str) -> dict:
    """What decides about the content; `max_quarantined` and `data` do not."""
    corpora = [c.model_dump(mode="json", exclude={"languages"}) for c in config.corpora_of(language)]
    keys = config.ingest.model_dump(mode="json", exclude={"max_quarantined"})
    return {"corpora": corpora, "ingest": keys, "seed": config.seed, "languages": [config.source_language, language]}


def _check_same(done: IngestReport, made_from: dict, out: Path) -> None:
    for key, value in made_from.items():
        if done.made_from.get(key) != value:
            remedy = "choose another `out` (or `name`), or remove the folder"
            raise UserError("was made by another config", file=out, key=key, remedy=remedy)
