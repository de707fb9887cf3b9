"""Exact string matches of names, in languages with spaces. They need no model.

`Angela Merkel` is `Angela Merkel` in German. A name that occurs in the target word for word, exactly as often as in the
source, is aligned to these occurrences, and neither the aligner nor the similarity reads it. The cost: where the target gives
more of the name than the source (Clinton, Hillary Clinton), the span is the short name.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.queries import Queries, QueryTexts
from xner_ray.alignment.spans import Spans
from xner_ray.encoders.ragged import ranges
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.arrow_kernels import dictionary_codes, group_starts, substrings

_NAME = r"^.*\p{Lu}.*\p{L}.*$|^.*\p{L}.*\p{Lu}.*$"  # two letters, one of them a capital


def exact_matches(queries: Queries, texts: QueryTexts, score: float) -> Candidates:
    """Candidates of the queries whose name occurs in the target exactly as often as in the source.

    Occurrences inside a longer name of the same pair do not count. A name with two types in one pair has no match.

    Args:
        queries: all queries of a table.
        texts: of the queries, in a language with spaces.
        score: of each candidate.

    Returns:
        Candidates ordered by query and start. A query has a candidate for each of its mentions, or none.
    """
    occurrences = _occurrences(queries, texts)
    occurrences = occurrences.take(_is_outermost(queries.rows[occurrences.query_ids], occurrences))
    counts = np.bincount(occurrences.query_ids, minlength=len(queries))
    is_certain = (counts == queries.mention_counts()) & ~_has_two_types(queries)
    occurrences = occurrences.take(is_certain[occurrences.query_ids])
    order = np.lexsort((occurrences.starts, occurrences.query_ids))
    ordered = occurrences.take(order)
    return Candidates.create(ordered.query_ids, ordered.starts, ordered.ends, score)


def _occurrences(queries: Queries, texts: QueryTexts) -> Candidates:
    """Occurrences of names in their targets as whole words, without scores."""
    names, targets, words = pa.array(queries.names, pa.string()), texts.target_strings, texts.words
    name_words = WordSpans.from_texts(queries.names, texts.language)
    name_lengths = np.diff(name_words.offsets)
    filled = np.flatnonzero(name_lengths)  # a name may be white space alone
    first = name_words.offsets[filled]
    first_words = substrings(names, filled, name_words.starts[first], name_words.ends[first])
    target_words = Spans(words.rows, words.starts, words.ends).texts(targets)
    word_codes = dictionary_codes(pa.concat_arrays([target_words, first_words]))
    first_codes = np.full(len(names), -1)
    first_codes[filled] = word_codes[len(target_words) :]
    first_codes[~pc.match_substring_regex(names, _NAME).to_numpy(zero_copy_only=False)] = -1
    counts = np.diff(words.offsets)[texts.pair_ids]
    query_ids = np.repeat(np.arange(len(queries)), counts)
    begin = ranges(words.offsets[texts.pair_ids], counts)
    end = begin + name_lengths[queries.name_ids[query_ids]] - 1
    # The first word is compared for all words of the target, the whole text only where the first word is equal.
    is_first_word = word_codes[begin] == first_codes[queries.name_ids[query_ids]]
    is_hit = is_first_word & (end < words.offsets[texts.pair_ids[query_ids] + 1])
    query_ids, starts, ends = query_ids[is_hit], words.starts[begin[is_hit]], words.ends[end[is_hit]]
    hits = Candidates.create(query_ids, starts, ends, 0.0)
    hit_names = names.take(pa.array(queries.name_ids[query_ids])).cast(pa.large_string())
    is_equal = pc.equal(texts.spans_of(hits).texts(targets), hit_names)
    return hits.take(is_equal.to_numpy(zero_copy_only=False))


def _is_outermost(row_ids: np.ndarray, spans: Candidates) -> np.ndarray:
    """bool, False for occurrences inside another one of their pair: the Paris of Paris Saint-Germain."""
    order = np.lexsort((-spans.ends, spans.starts, row_ids))
    end_keys = (row_ids * (int(spans.ends.max(initial=0)) + 1) + spans.ends)[order]
    is_inner = np.zeros(len(order), bool)
    is_inner[1:] = ~group_starts(row_ids[order])[1:] & (np.maximum.accumulate(end_keys)[:-1] >= end_keys[1:])
    is_outermost = np.empty(len(order), bool)
    is_outermost[order] = ~is_inner
    return is_outermost


def _has_two_types(queries: Queries) -> np.ndarray:
    """bool [queries], names that have another type in the same pair."""
    keys = np.stack([queries.rows, queries.name_ids])
    _, inverse, counts = np.unique(keys, axis=1, return_inverse=True, return_counts=True)
    return counts[inverse.ravel()] > 1
