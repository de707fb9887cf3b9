"""Other occurrences of a span that was found: `Merkel sagte, Merkel werde` for one mention in `Merkel said she would`.

The search for windows gives one span for each mention. A translation may repeat a name, and students must not learn O for the
repetition, so the other occurrences of the span's text are spans, too.
"""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.examples.inner_names import continues_as_organization
from xner_ray.alignment.queries import QueryTexts
from xner_ray.alignment.span_cleanup import clean_edges
from xner_ray.alignment.span_search import window_means
from xner_ray.alignment.spans import Spans, touched_words
from xner_ray.encoders.ragged import Ragged, ranges
from xner_ray.text.arrow_kernels import dictionary_codes


def repeated_spans(
    candidates: Candidates, texts: QueryTexts, probabilities: Ragged | None = None, threshold: float = 0.5
) -> Candidates:
    """Other occurrences of the text of candidates in their targets, as whole words.

    Args:
        candidates: of the queries of `texts`.
        texts: of the queries.
        probabilities: float32, the aligner's probability of each target word of each query, one row for each query. None:
            without the aligner.
        threshold: minimum of the aligner's mean probability of an occurrence.

    Returns:
        Candidates ordered by query and start, with the score of the candidate that they repeat. They may overlap, but none
        of them is one of `candidates`.
    """
    words, pairs = texts.words, texts.pair_ids[candidates.query_ids]
    first, last = touched_words(words, texts.spans_of(candidates))
    codes = dictionary_codes(Spans(words.rows, words.starts, words.ends).texts(texts.target_strings))
    counts = np.diff(words.offsets)[pairs] * (first < last)
    copied, begin = np.repeat(np.arange(len(candidates)), counts), ranges(words.offsets[pairs], counts)
    # The first word is compared for all words of the target, the whole text only where the first word is equal.
    end = begin + (last - first)[copied]
    is_hit = (
        (codes[begin] == codes[first[copied]]) & (begin != first[copied]) & (end <= words.offsets[pairs[copied] + 1])
    )
    copied, begin, end = copied[is_hit], begin[is_hit], end[is_hit]
    found = candidates.take(copied).with_edges(words.starts[begin], words.ends[end - 1])
    surfaces = (texts.spans_of(c).texts(texts.target_strings) for c in (found, candidates.take(copied)))
    is_kept = pc.equal(*surfaces).to_numpy(zero_copy_only=False)
    if not texts.uses_spaces:
        is_kept &= _is_whole(found, texts)
        if probabilities is None:
            is_kept &= end - begin > 1  # the 中 of 其中 is no China
    scores: np.ndarray | float = np.nan
    if probabilities is not None:
        query_ids, shift = found.query_ids, words.offsets[pairs[copied]]
        scores = window_means(probabilities, query_ids, begin - shift, end - shift)
        is_kept &= scores >= threshold
    repeats = Candidates.create(
        found.query_ids, found.starts, found.ends, found.scores, aligner_scores=np.round(scores, 4)
    )
    both = candidates.concatenate(repeats.take(is_kept))
    keys = np.stack([both.query_ids, both.starts, both.ends], axis=1)
    _, firsts = np.unique(keys, axis=0, return_index=True)
    return both.take(firsts[firsts >= len(candidates)])


def _is_whole(spans: Candidates, texts: QueryTexts) -> np.ndarray:
    """bool, False for a part of a Latin word or number, and for the 中国 of 中国银行."""
    cleaned = clean_edges(texts.targets, texts.spans_of(spans))
    is_whole = (cleaned.starts == spans.starts) & (cleaned.ends == spans.ends)
    pairs, ends = texts.pair_ids[spans.query_ids].tolist(), spans.ends.tolist()
    inner = [
        continues_as_organization(texts.targets[pair], end, texts.language)
        for pair, end in zip(pairs, ends, strict=True)
    ]
    return is_whole & ~np.array(inner, bool)
