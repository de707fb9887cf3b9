"""The untrained similarity beside the trained aligner, in languages with spaces.

The aligner reads the name without its sentence: it finds whole names, and misses translations that only the context shows
(House, Parlament). The similarity reads both sentences but knows no names: it nearly always finds the right words, and also
takes near words that are not part of the name. So the aligner's spans come first, and the similarity's spans are the
fallback. Where a span of the similarity contains the aligner's span, the aligner truncated the name, and its span is
extended. The cost is one forward pass of both sentences through the lower layers for each pair with an entity. Languages
without spaces are excluded, because most spans of the similarity end wrongly there.

A projection keeps both scores: `aligner`, the mean probability of its words, and `similarity`, the cosine similarity of the
similarity's span at the same place. A score is null where its model found nothing or did not run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.candidates import Candidates
from xner_ray.alignment.decoding import Decoding, positive_runs
from xner_ray.alignment.queries import Queries, QueryTexts
from xner_ray.alignment.span_expansion import MAX_EXPANSION_WORDS, project_spans
from xner_ray.alignment.spans import Spans, touched_words
from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.storage.atomic import create_dir_once

if TYPE_CHECKING:
    from xner_ray.alignment.similarity import Similarity  # imports torch

FOLDER = "similarity"  # of the similarity's encoder, in the folder of the aligner
MIN_SIMILARITY = 0.2  # below this score the target most often lacks the name
_LOWERCASE_HEAD = r"^(?:\p{Ll}\S*\s+)+"
_LOWERCASE_TAIL = r"(?:\s+\p{Ll}\S*)+$"


def similarity_candidates(
    similarity: Similarity, queries: Queries, texts: QueryTexts, decoding: Decoding
) -> Candidates:
    """Candidates of the similarity: maximal runs of the words that any mention of a query is aligned with.

    Args:
        similarity: aligns the pairs.
        queries: at least one.
        texts: of the queries. Their tokens, where they have some, are those of the similarity's tokenizer.
        decoding: `similarity_fallback_score`, the score of all candidates, is used.
    """
    words, mentions = texts.words, queries.mentions
    word_counts = np.diff(words.offsets)[texts.pair_ids]
    offsets = offsets_of(word_counts)  # of the target words of all queries
    matches = similarity.match(texts.sources, texts.targets, texts.source_tokens, texts.tokens)
    pair_ids = texts.pair_ids[mentions.query_ids]
    projected, cosine = project_spans(
        matches,
        words,
        texts.target_strings,
        Spans(pair_ids, mentions.starts, mentions.ends),
        max_expansion_words=MAX_EXPANSION_WORDS,
    )
    kept = cosine >= MIN_SIMILARITY
    query_ids, projected, cosine = mentions.query_ids[kept], projected.take(kept), cosine[kept]
    first, last = touched_words(words, projected)
    aligned = ranges(first - words.offsets[projected.rows] + offsets[query_ids], last - first)
    word_cosine = np.zeros(int(offsets[-1]) + 1)
    np.maximum.at(word_cosine, aligned, np.repeat(cosine, last - first))
    word_ids = ranges(words.offsets[texts.pair_ids], word_counts)
    spans = Spans(words.rows[word_ids], words.starts[word_ids], words.ends[word_ids])
    word_queries = np.repeat(np.arange(len(queries)), word_counts)
    # The span of a mention includes its gap. Two mentions with a word between them are two spans: `Wien und Wiens Bürgermeister`.
    first, last = positive_runs(np.unique(aligned), word_queries, spans, texts.target_strings, max_gap_words=0)
    if not len(first):
        return Candidates.empty()
    run_cosine = np.maximum.reduceat(word_cosine, np.stack([first, last + 1], axis=1).ravel())[::2]
    query_ids = np.searchsorted(offsets, first, side="right") - 1
    shift = words.offsets[texts.pair_ids[query_ids]] - offsets[query_ids]  # to indices into `words`
    return Candidates.create(
        query_ids,
        words.starts[first + shift],
        words.ends[last + shift],
        decoding.similarity_fallback_score,
        similarity_scores=np.round(run_cosine, 4),
    )


def extend_truncated_spans(candidates: Candidates, similar: Candidates, texts: QueryTexts) -> Candidates:
    """Extend the aligner's candidates to spans of the similarity that contain them, and take over their cosine similarity.

    The added text neither begins nor ends with a lowercase word, because the similarity takes such words too often
    (`Regionalpolitik und`).

    Args:
        candidates: of the aligner, ordered by query and start.
        similar: of the similarity, ordered by query and start. Spans of one query share no character.
        texts: of the queries.

    Returns:
        Distinct candidates ordered by query and start.
    """
    if not len(similar) or not len(candidates):
        return candidates.distinct()
    nearest, overlaps = _last_overlapping(candidates, similar, candidates.ends)
    cosine = np.where(overlaps, similar.similarity_scores[nearest], candidates.similarity_scores)
    nearest, overlaps = _last_overlapping(candidates, similar, candidates.starts + 1)
    contains = overlaps & (similar.ends[nearest] >= candidates.ends)
    starts = np.where(contains, similar.starts[nearest], candidates.starts)
    ends = np.where(contains, similar.ends[nearest], candidates.ends)
    rows, strings = texts.pair_ids[candidates.query_ids], texts.target_strings
    starts = starts + _match_lengths(Spans(rows, starts, candidates.starts).texts(strings), _LOWERCASE_HEAD)
    ends = ends - _match_lengths(Spans(rows, candidates.ends, ends).texts(strings), _LOWERCASE_TAIL)
    extended = Candidates.create(
        candidates.query_ids, starts, ends, candidates.scores, candidates.aligner_scores, cosine
    )
    return extended.distinct()


def _match_lengths(strings: pa.Array, pattern: str) -> np.ndarray:
    """Number of characters that a pattern matches: int [strings]."""
    rest = pc.replace_substring_regex(strings, pattern, "")
    return pc.utf8_length(strings).to_numpy() - pc.utf8_length(rest).to_numpy()


def _last_overlapping(
    candidates: Candidates, similar: Candidates, before: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of each candidate the last span of the similarity that starts before a character, and whether both overlap."""
    width = int(max(similar.ends.max(), candidates.ends.max())) + 2
    keys = similar.query_ids * width + similar.starts
    nearest = np.maximum(np.searchsorted(keys, candidates.query_ids * width + before, side="left") - 1, 0)
    overlaps = (similar.starts[nearest] < before) & (similar.ends[nearest] > candidates.starts)
    return nearest, (similar.query_ids[nearest] == candidates.query_ids) & overlaps


def save_similarity(encoder: str | Path, layer: int, folder: str | Path) -> None:
    """Save the layers of the untrained encoder that the similarity needs in the folder of an aligner, unless they are there.

    Args:
        encoder: `embedded`, hub id, or folder.
        layer: of the hidden states that are compared.
        folder: of the aligner.
    """

    def write(temporary: Path) -> None:
        from xner_ray.alignment.similarity import Similarity  # imports torch

        Similarity.save(str(encoder), layer, temporary)

    create_dir_once(Path(folder) / FOLDER, write)
