"""One pass over one corpus: read, count, filter. Sampled and complete ingests share it.

Each line is counted under exactly one name: below `min_score`, not sampled, quarantined (it cannot be used), dropped
(by a filter of `ingest.clean`), duplicate, or row. `CorpusCount` holds the counts.
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
from xner_ray.corpora.filters.language_check import LanguageCheck
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
from xner_ray.corpora.public_hosts import allow_private_hosts
from xner_ray.corpora.readers.formats import Chunk, read_corpus, swap_remedy
from xner_ray.corpora.shard_writer import as_pairs
from xner_ray.errors import UserError
from xner_ray.schema import PAIR, QUALITY_FILTERS, QUARANTINE
from xner_ray.text.languages import get_language

Progress = Callable[[str, int], None]
_INSPECTED, _INSPECTED_LINES = 2000, 100  # rows that `inspect` decodes, and lines whose language it checks


@dataclass(frozen=True)
class Source:
    """One corpus to read.

    Attributes:
        corpus: its config.
        label: `corpus` in its rows, e.g. `OpenSubtitles/v2018`.
        path: file or URL, with placeholders filled in.
        target_path: of the target side, for format `lines`.
        languages: codes of source and target.
        ingest: limits and filters.
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
class CleanedChunk:
    """The result of `CorpusReader.clean`.

    Attributes:
        pairs: the pairs that can be used and were not dropped, schema PAIR.
        scores: schema `quality_filters.SCORES` of all readable pairs, with the columns `pair_id` and `dropped` (the filter, or
            null); no columns if `ingest.clean` is not set.
    """

    pairs: pa.Table
    scores: pa.Table


@dataclass
class CorpusReader:
    """Reads a corpus once.

    Attributes:
        source: the corpus.
        quarantine: receives the lines that cannot be used. None: `clean` is not called.
        progress: called after each chunk with the label and the number of lines read so far.
        count: counts of the lines read so far.
    """

    source: Source
    quarantine: pq.ParquetWriter | None
    progress: Progress | None = None
    count: CorpusCount = field(default_factory=CorpusCount)

    def __post_init__(self) -> None:
        self._languages = LanguageCheck(self.source.languages)

    def read(self) -> Iterator[Chunk]:
        """The pairs that are not below `min_score`.

        Raises:
            UserError: the corpus is missing, damaged, empty, or has no scores to compare with `min_score`.
        """
        source, count = self.source, self.count
        allow_private_hosts(source.ingest.allow_private_hosts)
        for chunk in read_corpus(source.corpus, *source.languages, source.path, source.target_path, count.notes):
            count.read += len(chunk)
            if source.corpus.min_score is not None:
                if chunk.score is None:
                    raise _no_scores(source)
                # False for nan, which a validity filter reports.
                below = parse_scores(chunk)[0] < source.corpus.min_score
                count.below_score += int(below.sum())
                chunk = to_chunk(to_table(chunk).filter(pa.array(~below))) if below.any() else chunk
            yield chunk
            if self.progress:
                self.progress(source.label, count.read)
        if not count.read:
            remedy = "remove the corpus from the config or fetch it again"
            raise UserError("holds no pair", file=source.path, key=f"{source.corpus.key}.path", remedy=remedy)

    def clean(self, chunk: Chunk) -> CleanedChunk:
        """Apply validity filters, then quality filters, and write the invalid lines into the quarantine.

        Raises:
            UserError: a side is in the wrong script, or the sides look swapped.
        """
        pairs = decode_pairs(chunk)
        reasons = first_reasons(pairs, Limits(self.source.ingest.max_chars, self.source.corpus.min_score is not None))
        good = reasons < 0
        self.count.sampled += len(chunk)
        self.count.unescaped += int((pairs.unescaped & good).sum())
        self.count.untagged += int((pairs.untagged & good).sum())
        if not good.all():
            self._quarantine(to_chunk(to_table(chunk).filter(pa.array(~good))), reasons[~good])
        rows = _valid_rows(self.source, chunk, pairs, good)
        if self._languages.add(rows["source"], rows["target"]):
            _check_languages(self.source, self._languages)
        cleaned = self._apply_quality_filters(rows)
        self.count.rows += cleaned.pairs.num_rows
        return cleaned

    def _apply_quality_filters(self, rows: pa.Table) -> CleanedChunk:
        rules = self.source.ingest.clean
        if rules is None:
            return CleanedChunk(rows, pa.table({}))
        scores = score_pairs(rows["source"], rows["target"], rules, self.source.languages)
        decision = decide(scores, rules)
        kept = decision < 0
        dropped = pa.array(QUALITY_FILTERS).take(pa.array(decision, mask=kept))
        _add_counts(self.count.dropped, decision[~kept], QUALITY_FILTERS)
        scores = scores.add_column(0, "pair_id", rows["pair_id"]).append_column("dropped", dropped)
        return CleanedChunk(rows if kept.all() else rows.filter(pa.array(kept)), scores)

    def _quarantine(self, chunk: Chunk, reasons: np.ndarray) -> None:
        assert self.quarantine is not None
        _add_counts(self.count.quarantined, reasons, REASONS)
        n = len(chunk)
        columns = [_repeated(x, n) for x in (self.source.label, self.source.languages[1])]
        columns += [pa.array(chunk.pair_id), _repeated("ingest", n), pa.array(REASONS).take(pa.array(reasons))]
        columns += [pa.array(excerpts(chunk), pa.string())]
        self.quarantine.write_table(pa.Table.from_arrays(columns, schema=QUARANTINE))

    def finish(self) -> None:
        """Note the warnings of the language check, and check the number of quarantined pairs.

        Raises:
            UserError: a larger ratio than `ingest.max_quarantined` of the sampled pairs cannot be used.
        """
        self.count.notes += [f"warning: {x}" for x in _check_languages(self.source, self._languages)]
        count, limit = self.count, self.source.ingest.max_quarantined
        if count.num_quarantined > limit * count.sampled:
            reasons = ", ".join(f"{reason} {n}" for reason, n in count.quarantined.items())
            raise UserError(
                f"{count.num_quarantined} of {count.sampled} sampled pairs cannot be used: {reasons}",
                file=self.source.path,
                key=self.source.corpus.key,
                remedy=f"check `format` and the encoding, or raise ingest.max_quarantined (now {limit})",
            )


def inspect(source: Source) -> list[str]:
    """Read the first rows of a corpus, and check columns and languages.

    Returns:
        What was recognized, and warnings.

    Raises:
        UserError: the corpus cannot be read, its columns are not clear, a side is in the wrong script, or the sides look
            swapped.
    """
    notes: list[str] = []
    chunks = read_corpus(source.corpus, *source.languages, source.path, source.target_path, notes)
    chunk = next((chunk for chunk in chunks if len(chunk)), None)
    if chunk is None:
        remedy = "remove the corpus from the config or fetch it again"
        raise UserError("holds no pair", file=source.path, key=f"{source.corpus.key}.path", remedy=remedy)
    chunk = to_chunk(to_table(chunk).slice(0, _INSPECTED))
    if source.corpus.min_score is not None and (chunk.score is None or chunk.score.null_count == len(chunk)):
        raise _no_scores(source)
    pairs = decode_pairs(chunk)
    good = first_reasons(pairs, Limits(source.ingest.max_chars)) < 0
    check = LanguageCheck(source.languages, lines=_INSPECTED_LINES)
    check.add(pairs.source.filter(pa.array(good)), pairs.target.filter(pa.array(good)))
    return notes + [f"warning: {x}" for x in _check_languages(source, check)]


def _check_languages(source: Source, check: LanguageCheck) -> tuple[str, ...]:
    """The warnings of the language check; its problem is raised."""
    verdict = check.verdict()
    if verdict.problem is None:
        return verdict.warnings
    key = source.corpus.key
    if verdict.swapped:
        key, remedy = swap_remedy(source.corpus, source.languages, source.path)
    else:
        remedy = "correct `languages` or the path; a language in another script is named with it, such as `hi_Latn`"
    raise UserError(verdict.problem, file=source.path, key=key, remedy=remedy)


def _add_counts(counts: dict[str, int], codes: np.ndarray, names: Sequence[str]) -> None:
    """Add the number of rows of each code to `counts`, in the order of the names; names without rows are left out."""
    total = Counter(counts)
    for i, n in enumerate(np.bincount(codes, minlength=len(names)).tolist()):
        total[names[i]] += n
    counts.clear()
    counts.update({name: total[name] for name in names if total[name]})


def _valid_rows(source: Source, chunk: Chunk, pairs: DecodedPairs, good: np.ndarray) -> pa.Table:
    kept, n = pa.array(good), int(good.sum())
    score = pairs.score[good].astype(np.float32)
    target = pairs.target if n == len(good) else pairs.target.filter(kept)
    columns = {
        "corpus": _repeated(source.label, n),
        "domain": _repeated(source.corpus.domain, n),
        "language": _repeated(source.languages[1], n),
        "pair_id": pa.array(chunk.pair_id[good]),
        "source": pairs.source if n == len(good) else pairs.source.filter(kept),
        "target": target if get_language(source.languages[1]).uses_spaces else remove_cjk_spaces(target),
        "corpus_score": pa.array(score, mask=np.isnan(score)),
    }
    return as_pairs(columns) if n else PAIR.empty_table()


def _repeated(value: str, rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), rows)


def to_table(chunk: Chunk) -> pa.Table:
    """A chunk as a table with the columns pair_id, source, target, score and malformed; `to_chunk` is the inverse."""
    score = chunk.score if chunk.score is not None else pa.nulls(len(chunk), pa.large_binary())
    malformed = np.zeros(len(chunk), bool) if chunk.malformed is None else chunk.malformed
    columns = [pa.array(chunk.pair_id), chunk.source, chunk.target, score, pa.array(malformed)]
    return pa.Table.from_arrays(columns, names=["pair_id", "source", "target", "score", "malformed"])


def to_chunk(table: pa.Table) -> Chunk:
    """A table of `to_table` as a chunk."""
    source, target, score = (_one_array(table[name]) for name in ("source", "target", "score"))
    return Chunk(table["pair_id"].to_numpy(), source, target, score, table["malformed"].to_numpy())


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    return (
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
    )


def _no_scores(source: Source) -> UserError:
    key = f"{source.corpus.key}.min_score"
    what = "there is a `min_score`, but the corpus has no scores"
    return UserError(what, file=source.path, key=key, remedy="remove `min_score`")
