"""One pass over one corpus, the part that the sampled and the whole ingest share: read, count, clean.

Every line that is read is counted under exactly one name: below `min_score`, not sampled, quarantined (it cannot be
used), dropped (a rule of `ingest.clean` turned it away), a duplicate, or a row. `CorpusCount` holds the sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from xner_ray.config import Config, CorpusConfig, IngestConfig
from xner_ray.corpora.filters.cjk_spacing import remove_cjk_spaces
from xner_ray.corpora.filters.quality_filters import decide, score_pairs
from xner_ray.corpora.filters.validity_filters import (
    REASONS,
    DecodedPairs,
    Limits,
    decode_pairs,
    excerpts,
    first_reasons,
    parse_scores,
)
from xner_ray.corpora.ingest_report import CorpusCount
from xner_ray.corpora.readers.formats import Chunk, read_corpus
from xner_ray.corpora.shard_writer import as_pairs
from xner_ray.errors import UserError
from xner_ray.schema import CLEANED, PAIR, QUARANTINE
from xner_ray.text.languages import get_language

Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Source:
    """One corpus to read: where it lies, how, and how it is called.

    label: the value of `corpus` in its rows, e.g. `OpenSubtitles/v2018`. path, target_path: placeholders filled in.
    languages: (source, target). ingest: the limits and rules that apply.
    """

    corpus: CorpusConfig
    label: str
    path: str
    target_path: str | None
    languages: tuple[str, str]
    ingest: IngestConfig


def sources_of(config: Config, language: str) -> list[Source]:
    """The corpora of a config that have the target language."""
    return [
        Source(
            corpus,
            corpus.name,
            config.fill(corpus.path, language),
            config.fill(corpus.target_path, language) if corpus.target_path else None,
            (config.source_language, language),
            config.ingest,
        )
        for corpus in config.corpora_of(language)
    ]


@dataclass(frozen=True)
class Cleaned:
    """What is left of a chunk. pairs: schema PAIR. scores: of the readable rows, see `CorpusReader.clean`."""

    pairs: pa.Table
    scores: pa.Table


@dataclass
class CorpusReader:
    """Reads a corpus once; `count` tells at any time what became of the lines so far."""

    source: Source
    quarantine: pq.ParquetWriter
    progress: Progress | None = None
    count: CorpusCount = field(default_factory=CorpusCount)

    def read(self) -> Iterator[Chunk]:
        """The pairs that are not below `min_score`.

        Raises:
            UserError: the corpus is missing, damaged, empty, or has no scores to compare with `min_score`.
        """
        it, count = self.source, self.count
        for chunk in read_corpus(it.corpus, *it.languages, it.path, it.target_path):
            count.read += len(chunk)
            if it.corpus.min_score is not None:
                if chunk.score is None:
                    raise _no_scores(it)
                below = (
                    parse_scores(chunk)[0] < it.corpus.min_score
                )  # false for nan: the rules say what is wrong there
                count.below_score += int(below.sum())
                chunk = to_chunk(to_table(chunk).filter(pa.array(~below))) if below.any() else chunk
            yield chunk
            if self.progress:
                self.progress(it.label, count.read)
        if not count.read:
            remedy = "remove the corpus from the config or fetch it again"
            raise UserError("holds no pair", file=it.path, key=f"corpora.{it.corpus.name}.path", remedy=remedy)

    def clean(self, chunk: Chunk) -> Cleaned:
        """The rows that can be used and that no rule turns away, and the scores of all that could be read.

        Scores are quality.SCORES with `pair_id` before and `dropped`, the rule or null, behind them; no columns at
        all where `ingest.clean` is not set.
        """
        pairs = decode_pairs(chunk)
        verdict = first_reasons(pairs, Limits(self.source.ingest.max_chars, self.source.corpus.min_score is not None))
        good = verdict < 0
        self.count.sampled += len(chunk)
        if not good.all():
            self._reject(to_chunk(to_table(chunk).filter(pa.array(~good))), verdict[~good])
        rows = _good_rows(self.source, chunk, pairs, good)
        cleaned = self._judge(rows)
        self.count.rows += cleaned.pairs.num_rows
        return cleaned

    def _judge(self, rows: pa.Table) -> Cleaned:
        rules = self.source.ingest.clean
        if rules is None:
            return Cleaned(rows, pa.table({}))
        scores = score_pairs(rows["source"], rows["target"], rules, self.source.languages)
        decision = decide(scores, rules)
        kept = decision < 0
        dropped = pa.array(CLEANED).take(pa.array(decision, mask=kept))
        _count(self.count.dropped, decision[~kept], CLEANED)
        scores = scores.add_column(0, "pair_id", rows["pair_id"]).append_column("dropped", dropped)
        return Cleaned(rows if kept.all() else rows.filter(pa.array(kept)), scores)

    def _reject(self, chunk: Chunk, verdict: np.ndarray) -> None:
        _count(self.count.quarantined, verdict, REASONS)
        n = len(chunk)
        columns = [_same(x, n) for x in (self.source.label, self.source.languages[1])]
        columns += [pa.array(chunk.pair_id), _same("ingest", n), pa.array(REASONS).take(pa.array(verdict))]
        columns += [pa.array(excerpts(chunk), pa.string())]
        self.quarantine.write_table(pa.Table.from_arrays(columns, schema=QUARANTINE))

    def check_quarantined(self) -> None:
        """Raises: UserError where more than `ingest.max_quarantined` of the sampled pairs cannot be used."""
        count, limit = self.count, self.source.ingest.max_quarantined
        if count.rejected > limit * count.sampled:
            told = ", ".join(f"{reason} {n}" for reason, n in count.quarantined.items())
            raise UserError(
                f"{count.rejected} of {count.sampled} sampled pairs cannot be used: {told}",
                file=self.source.path,
                key=f"corpora.{self.source.corpus.name}",
                remedy=f"check `format` and the encoding, or raise ingest.max_quarantined (now {limit})",
            )


def _count(counts: dict[str, int], found: np.ndarray, names: Sequence[str]) -> None:
    """Add to counts by name; names without a row stay out, the others keep the order of the rules."""
    total = Counter(counts)
    for i, n in enumerate(np.bincount(found, minlength=len(names)).tolist()):
        total[names[i]] += n
    counts.clear()
    counts.update({name: total[name] for name in names if total[name]})


def _good_rows(source: Source, chunk: Chunk, pairs: DecodedPairs, good: np.ndarray) -> pa.Table:
    kept, n = pa.array(good), int(good.sum())
    score = pairs.score[good].astype(np.float32)
    target = pairs.target if n == len(good) else pairs.target.filter(kept)
    columns = {
        "corpus": _same(source.label, n),
        "domain": _same(source.corpus.domain, n),
        "language": _same(source.languages[1], n),
        "pair_id": pa.array(chunk.pair_id[good]),
        "source": pairs.source if n == len(good) else pairs.source.filter(kept),
        "target": target if get_language(source.languages[1]).uses_spaces else remove_cjk_spaces(target),
        "corpus_score": pa.array(score, mask=np.isnan(score)),
    }
    return as_pairs(columns) if n else PAIR.empty_table()


def _same(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def to_table(chunk: Chunk) -> pa.Table:
    """A chunk as a table, for what tables can do and `to_chunk` undoes."""
    score = chunk.score if chunk.score is not None else pa.nulls(len(chunk), pa.large_binary())
    columns = [pa.array(chunk.pair_id), chunk.source, chunk.target, score]
    return pa.Table.from_arrays(columns, names=["pair_id", "source", "target", "score"])


def to_chunk(table: pa.Table) -> Chunk:
    source, target, score = (whole(table[name]) for name in ("source", "target", "score"))
    return Chunk(table["pair_id"].to_numpy(), source, target, score)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    return (
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def _no_scores(source: Source) -> UserError:
    key = f"corpora.{source.corpus.name}.min_score"
    what = "there is a `min_score`, but the corpus has no scores"
    return UserError(what, file=source.path, key=key, remedy="remove `min_score`")
