"""The untrained similarity as a second opinion beside the trained aligner, in languages with spaces.

The aligner reads the name and not its sentence: it finds names whole, and misses translations that only the context gives
away (House, Parlament). The similarity sees both sentences and no names: it nearly always finds the place, and its spans hold
every word that is near to the name. So the aligner speaks first, the similarity's spans are second choices, and where one of
them holds the aligner's and more, the name was cut. What that costs: a pass of both sentences through the lower layers, for
pairs with a name. Not in languages
without spaces: there a span ends anywhere, and most that the similarity finds end wrongly.

Both votes stay with a span: `aligner`, the mean score of the words that it found, and `similarity`, the cosine of the span
that it would have taken there; none (NaN) where one of them found nothing or was not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.assignment import Found, distinct
from xner_ray.alignment.decoding import Decoding, runs, token_range
from xner_ray.alignment.queries import Queries
from xner_ray.encoders.ragged import offsets_of, ranges
from xner_ray.ner.word_spans import WordSpans
from xner_ray.storage.atomic import create_dir_once
from xner_ray.text.arrow_strings import slices

if TYPE_CHECKING:
    from xner_ray.alignment.similarity import Similarity  # imports torch

_LOW_HEAD = r"^(?:\p{Ll}\S*\s+)+"
_LOW_TAIL = r"(?:\s+\p{Ll}\S*)+$"
FOLDER = "similarity"  # beside the aligner's weights
FLOOR = 0.2  # below it the target most often lacks the name


def similar(
    asked: np.ndarray,
    similarity: Similarity,
    queries: Queries,
    sources: Sequence[str],
    targets: Sequence[str],
    text: np.ndarray,
    words: WordSpans,
    decoding: Decoding,
) -> Found:
    """Candidates of the similarity: maximal runs of the words that any of a name's mentions is aligned with.

    Args:
        asked: int64 [asked], positions of the queries that it is asked about, ordered; at least one.
        sources, targets: the distinct pairs of all queries; words: of the targets.
        text: int64 [queries], the pair of each.

    Returns:
        As `decode.spans`, with votes; the score is `decoding.similarity_fallback_score`.
    """
    from xner_ray.alignment.span_expansion import GROWTH, project_spans

    pairs, pair = np.unique(text[asked], return_inverse=True)
    words = words.take(pairs)
    counts = np.diff(words.offsets)[pair]
    begins = offsets_of(counts)
    place = np.full(len(text), -1)
    place[asked] = np.arange(len(asked))
    mentions = queries.mentions[place[queries.mentions[:, 0]] >= 0]
    query, rows = place[mentions[:, 0]], pair[place[mentions[:, 0]]]
    matches = similarity.match([sources[i] for i in pairs], [targets[i] for i in pairs])
    start, end, score = project_spans(matches, words, rows, mentions[:, 1], mentions[:, 2], growth=GROWTH)
    query, rows, start, end, score = (x[score >= FLOOR] for x in (query, rows, start, end, score))
    low, high = token_range(words.starts, words.ends, words.offsets, rows, start, end)
    near, cosine = ranges(low - words.offsets[rows] + begins[query], high - low), np.zeros(int(begins[-1]) + 1)
    np.maximum.at(cosine, near, np.repeat(score, high - low))
    first, last = runs(np.unique(near), np.repeat(np.arange(len(asked)), counts), decoding.max_gap_words)
    vote = np.maximum.reduceat(cosine, np.stack([first, last + 1], axis=1).ravel())[::2] if len(first) else cosine[:0]
    which = np.searchsorted(begins, first, side="right") - 1
    shift = words.offsets[pair[which]] - begins[which]
    return {
        "query": asked[which],
        "start": words.starts[first + shift],
        "end": words.ends[last + shift],
        "score": np.full(len(first), decoding.similarity_fallback_score, np.float32),
        "aligner": np.full(len(first), np.nan, np.float32),
        "similarity": np.round(vote, 4).astype(np.float32),
    }


def first_votes(found: Found) -> Found:
    """The aligner's candidates, as `decode.spans` returns them, with its own vote and none of the similarity's."""
    return found | {"aligner": found["score"], "similarity": np.full(len(found["score"]), np.nan, np.float32)}


def mended(found: Found, opinions: Found, texts: Sequence[str], text: np.ndarray) -> Found:
    """The aligner's candidates, each as wide as a span of the similarity that holds it, and with that one's vote.

    What is added neither begins nor ends with a word in lower case: there the similarity runs over (`Regionalpolitik und`).

    Args:
        found, opinions: ordered by query and start; `opinions` of one query share no character.
        texts: the distinct targets.
        text: int64 [queries], the target of each.
    """
    at, same = _beside(found, opinions, found["end"])
    vote = np.where(same, opinions["similarity"][at], found["similarity"]) if len(at) else found["similarity"]
    found = found | {"similarity": vote.astype(np.float32)}
    at, same = _beside(found, opinions, found["start"] + 1)
    holds = same & (opinions["end"][at] >= found["end"]) if len(at) else same
    start, end = (np.where(holds, opinions[k][at], found[k]) if len(at) else found[k] for k in ("start", "end"))
    strings, rows = pa.array(texts, pa.string()), text[found["query"]]
    left, right = slices(strings, rows, start, found["start"]), slices(strings, rows, found["end"], end)
    start = start + pc.utf8_length(left).to_numpy() - pc.utf8_length(_without(left, _LOW_HEAD)).to_numpy()
    end = end - pc.utf8_length(right).to_numpy() + pc.utf8_length(_without(right, _LOW_TAIL)).to_numpy()
    return distinct(found | {"start": start, "end": end})


def _without(strings: pa.Array, pattern: str) -> pa.Array:
    return pc.replace_substring_regex(strings, pattern, "")


def _beside(found: Found, opinions: Found, before: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each candidate the last opinion that starts before a character, and whether it is of its query and reaches into it."""
    if not len(opinions["query"]):
        return np.zeros(0, np.int64), np.zeros(len(before), bool)
    width = int(max(opinions["end"].max(), np.max(found["end"], initial=0))) + 2
    keys = opinions["query"] * width + opinions["start"]
    at = np.maximum(np.searchsorted(keys, found["query"] * width + before, side="left") - 1, 0)
    reaches = (opinions["start"][at] < before) & (opinions["end"][at] > found["start"])
    return at, (opinions["query"][at] == found["query"]) & reaches


def save_similarity(encoder: str | Path, layer: int, folder: str | Path) -> None:
    """Put the untrained encoder, as far as the similarity uses it, into a projector's folder; once."""

    def make(made: Path) -> None:
        from xner_ray.alignment.similarity import Similarity  # imports torch

        Similarity.save(str(encoder), layer, made)

    create_dir_once(Path(folder) / FOLDER, make)
