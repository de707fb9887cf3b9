"""Names that are spelled alike on both sides, in languages with spaces: no model has to look for them.

`Angela Merkel` is `Angela Merkel` in German. Where a name stands in the target word for word, as often as the teacher found it in
the source, that is where it went, and neither aligner nor similarity is asked. What it trades: a target that gives more of the
name than the source has (Clinton, Hillary Clinton) keeps the short one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.assignment import Found
from xner_ray.alignment.queries import Queries
from xner_ray.encoders.ragged import ranges
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.arrow_lists import changes, codes
from xner_ray.text.arrow_strings import slices

_NAME = r"^.*\p{Lu}.*\p{L}.*$|^.*\p{L}.*\p{Lu}.*$"  # two letters, one of them a capital


def alike(
    queries: Queries, targets: Sequence[str], text: np.ndarray, words: WordSpans, language: str, score: float
) -> Found:
    """Candidates of the queries that need not be asked.

    Args:
        targets: the distinct targets; words: theirs.
        text: int64 [queries], the target of each.
        language: of the targets, one with spaces.
        score: what each candidate gets.

    Returns:
        As `decode.spans`, with votes, which are none. A query that is in it has all its mentions.
    """
    query, start, end = _occurrences(queries, targets, text, words, language)
    own = _outermost(queries.row[query], start, end)
    query, start, end = query[own], start[own], end[own]
    wanted = np.bincount(queries.mentions[:, 0], minlength=len(queries))
    sure = (np.bincount(query, minlength=len(queries)) == wanted) & ~_twice(queries)
    query, start, end = (x[sure[query]] for x in (query, start, end))
    order = np.lexsort((start, query))
    none = np.full(len(query), np.nan, np.float32)
    return {
        "query": query[order],
        "start": start[order],
        "end": end[order],
        "score": np.full(len(query), score, np.float32),
        "aligner": none,
        "similarity": none,
    }


def _occurrences(
    queries: Queries, targets: Sequence[str], text: np.ndarray, words: WordSpans, language: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where names stand in their targets as whole words: query, start, end (characters)."""
    names, strings = pa.array(queries.names, pa.string()), pa.array(targets, pa.string())
    cut = WordSpans.from_texts(queries.names, language)
    length = np.diff(cut.offsets)
    some = np.flatnonzero(length)  # a name may be white space alone
    first = cut.offsets[some]
    heads = slices(names, some, cut.starts[first], cut.ends[first])
    coded = codes(pa.concat_arrays([slices(strings, words.rows, words.starts, words.ends), heads]))
    head = np.full(len(names), -1)
    head[some] = coded[len(words.starts) :]
    head[~pc.match_substring_regex(names, _NAME).to_numpy(zero_copy_only=False)] = -1
    counts = np.diff(words.offsets)[text]
    query, at = np.repeat(np.arange(len(text)), counts), ranges(words.offsets[text], counts)
    last = at + length[queries.name[query]] - 1
    hit = (coded[at] == head[queries.name[query]]) & (last < words.offsets[text[query] + 1])
    query, start, end = query[hit], words.starts[at[hit]], words.ends[last[hit]]
    same = pc.equal(
        slices(strings, text[query], start, end), names.take(pa.array(queries.name[query])).cast(pa.large_string())
    )
    kept = same.to_numpy(zero_copy_only=False)
    return query[kept], start[kept], end[kept]


def _outermost(pair: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """bool, occurrences that lie in no other one of their pair: Paris, but not that of Paris Saint-Germain."""
    order = np.lexsort((-end, start, pair))
    reach = (pair * (int(end.max(initial=0)) + 1) + end)[order]
    inner = np.zeros(len(order), bool)
    inner[1:] = ~changes(pair[order])[1:] & (np.maximum.accumulate(reach)[:-1] >= reach[1:])
    out = np.empty(len(order), bool)
    out[order] = ~inner
    return out


def _twice(queries: Queries) -> np.ndarray:
    """bool [queries], names that have another type in the same pair."""
    _, where, many = np.unique(np.stack([queries.row, queries.name]), axis=1, return_inverse=True, return_counts=True)
    return many[where.ravel()] > 1
