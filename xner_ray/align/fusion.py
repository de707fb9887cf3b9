"""The untrained similarity as a second opinion where the trained aligner finds nothing.

The aligner reads the name and not its sentence: it finds long names whole, and misses translations that only the context
gives away (House, Parlament). The similarity sees both sentences and no names: it nearly always finds the place, and loses
heads and tails of long names. So the aligner speaks first, and the similarity answers the queries that are left. What
that costs: a pass of those few sentences, not of all, through the lower layers. Not in languages without spaces: there
a span ends anywhere, and most that the similarity finds end wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xner_ray.align.decode import Decoding, runs, token_range
from xner_ray.align.queries import Queries
from xner_ray.encoder.made_once import made_once
from xner_ray.encoder.ragged import offsets_of, ranges
from xner_ray.ner.encode import words_of
from xner_ray.words import UNSPACED

if TYPE_CHECKING:
    from xner_ray.align.similarity import Similarity  # imports torch

FOLDER = "similarity"  # beside the aligner's weights


def with_similar(
    found: dict[str, np.ndarray],
    similarity: Similarity,
    queries: Queries,
    sources: Sequence[str],
    targets: Sequence[str],
    text: np.ndarray,
    language: str,
    how: Decoding,
) -> dict[str, np.ndarray]:
    """Candidates, with those of the similarity for queries that have none.

    Args:
        found: what the aligner found, as `decode.spans` returns it.
        sources, targets: the distinct pairs that are asked about.
        text: int64 [queries], the pair of each.
        language: of the targets.

    Returns:
        As `decode.spans`; the score of the similarity's spans is `how.similarity`.
    """
    silent = np.ones(len(text), bool)
    silent[found["query"]] = False
    asked = np.flatnonzero(silent)
    if language in UNSPACED or not len(asked):
        return found
    extra = _spans(similarity, queries, asked, sources, targets, text, language, how)
    joined = {key: np.concatenate([values, extra[key]]) for key, values in found.items()}
    order = np.lexsort((joined["start"], joined["query"]))
    return {key: values[order] for key, values in joined.items()}


def _spans(similarity, queries, asked, sources, targets, text, language, how) -> dict[str, np.ndarray]:
    """Spans of the queries `asked`: maximal runs of the words that any of their mentions is aligned with."""
    from xner_ray.align.similarity import project_spans

    pairs, pair = np.unique(text[asked], return_inverse=True)
    theirs = [targets[i] for i in pairs]
    words = words_of(theirs, language)
    counts = np.diff(words.offsets)[pair]
    begins = offsets_of(counts)
    place = np.full(len(text), -1)
    place[asked] = np.arange(len(asked))
    mentions = queries.mentions[place[queries.mentions[:, 0]] >= 0]
    query, rows = place[mentions[:, 0]], pair[place[mentions[:, 0]]]
    matches = similarity.match([sources[i] for i in pairs], theirs)
    spans = project_spans(matches, words, rows, mentions[:, 1], mentions[:, 2])
    low, high = token_range(words.starts, words.ends, words.offsets, rows, spans[0], spans[1])
    positive = np.unique(ranges(low - words.offsets[rows] + begins[query], high - low))
    first, last = runs(positive, np.repeat(np.arange(len(asked)), counts), how.gap)
    which = np.searchsorted(begins, first, side="right") - 1
    shift = words.offsets[pair[which]] - begins[which]
    return {
        "query": asked[which],
        "start": words.starts[first + shift],
        "end": words.ends[last + shift],
        "score": np.full(len(first), how.similarity, np.float32),
    }


def save_similarity(encoder: str | Path, layer: int, folder: str | Path) -> None:
    """Put the untrained encoder, as far as the similarity uses it, into a projector's folder; once."""
    from xner_ray.align.similarity import Similarity

    made_once(Path(folder) / FOLDER, lambda made: Similarity.save(str(encoder), layer, made))
