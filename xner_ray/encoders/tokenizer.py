"""Raw text to token ids with character offsets, and the templates of one and of two segments.

Each sentence is one raw string and never a list of words. Chinese that is given character by character costs 40 points of F1,
because the subwords of pre-training are words. Offsets tie tokens to characters, so any word segmentation can come later.
"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from xner_ray.encoders.folder_check import check_tokenizer, explain_load_errors
from xner_ray.encoders.load import load_tokenizer
from xner_ray.encoders.ragged import Ragged, hstack, offsets_of, ranges, tile_rows

_METASPACE = "\u2581"
_flatten = chain.from_iterable
_IS_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])  # U+3000 is the last white space of Unicode


@dataclass(frozen=True)
class Tokens:
    """Subword tokens of texts, without special tokens.

    Attributes:
        ids: int32 token ids, one row for each text.
        starts, ends: int32 [tokens], half-open character spans in the token's text. Equal for a token without characters.
    """

    ids: Ragged
    starts: np.ndarray
    ends: np.ndarray

    def take(self, rows: np.ndarray) -> Tokens:
        """Select texts by number, in the given order."""
        tokens = ranges(self.ids.offsets[rows], self.ids.lengths[rows])
        return Tokens(self.ids.take(rows), self.starts[tokens], self.ends[tokens])


def same_tokenizer(folder: str, other: str) -> bool:
    """Whether the tokenizers of two folders give the same tokens, because their files are equal."""
    if folder == other:
        return True
    files = ((Path(folder) / name, Path(other) / name) for name in ("tokenizer.json", "tokenizer_config.json"))
    return all(a.is_file() and b.is_file() and filecmp.cmp(a, b, shallow=False) for a, b in files)


class Tokenizer:
    """A picklable wrapper of a fast tokenizer that returns flat arrays.

    Args:
        folder: a Hugging Face folder.
        without_transformers: read tokenizer.json with the package `tokenizers` alone. This avoids the import of transformers
            and torch, but also the corrections that transformers makes for some models.

    Attributes:
        prefix, middle, suffix: special token ids before segment A, between A and B, and after the last segment.
    """

    def __init__(self, folder: str, without_transformers: bool = False):
        from tokenizers import Tokenizer

        self.folder = str(folder)
        if without_transformers:
            check_tokenizer(folder)
            with explain_load_errors(folder):
                self.backend = Tokenizer.from_file(f"{folder}/tokenizer.json")
        else:
            self.backend = load_tokenizer(folder).backend_tokenizer
        self.backend.no_truncation()
        self.backend.no_padding()
        self.metaspace_id = self.backend.token_to_id(_METASPACE)  # of a token that is a space and no character
        self.prefix, self.middle, self.suffix = _special_tokens(self.backend)

    def __call__(self, texts: Sequence[str]) -> Tokens:
        """Tokenize raw strings. The character spans of tokens hold no leading white space.

        Args:
            texts: one string for each row.
        """
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=False)
        lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
        total = int(lengths.sum())
        ids = np.fromiter(_flatten(e.ids for e in encodings), np.int32, total)
        spans = np.fromiter(_flatten(_flatten(e.offsets for e in encodings)), np.int32, 2 * total).reshape(-1, 2)
        starts, ends = spans[:, 0].copy(), spans[:, 1].copy()
        _trim_leading_spaces(texts, np.repeat(np.arange(len(lengths)), lengths), starts, ends)
        if self.metaspace_id is not None:
            # A metaspace before a text without a leading space has the span of the first character, which is not its own.
            empty = ids == self.metaspace_id
            ends[empty] = starts[empty]
        return Tokens(Ragged(ids, offsets_of(lengths)), starts, ends)

    def with_special_tokens(self, ids: Ragged) -> Ragged:
        """One segment in the model's template: `<s> A </s>`."""
        return hstack([tile_rows(self.prefix, len(ids)), ids, tile_rows(self.suffix, len(ids))])

    def pair_with_special_tokens(self, first: Ragged, second: Ragged) -> tuple[Ragged, Ragged]:
        """Two segments in the model's template, such as `<s> A </s></s> B </s>`.

        Args:
            first, second: token ids of A and B, the same number of rows.

        Returns:
            The token ids, and the segment ids of the same shape: 0 up to the start of B, then 1.
        """
        rows = len(first)
        parts = [
            tile_rows(self.prefix, rows),
            first,
            tile_rows(self.middle, rows),
            second,
            tile_rows(self.suffix, rows),
        ]
        segment_ids = [Ragged(np.full(len(p.values), i >= 3, np.int32), p.offsets) for i, p in enumerate(parts)]
        return hstack(parts), hstack(segment_ids)

    def second_segment_starts(self, first: Ragged) -> np.ndarray:
        """Position of the first token of B in each row of `pair_with_special_tokens`: int64 [rows]."""
        return len(self.prefix) + first.lengths + len(self.middle)

    def word_start_mask(self) -> np.ndarray:
        """Tokens that start a word, by the mark of metaspace tokenizers: bool [vocabulary]."""
        mask = np.zeros(self.backend.get_vocab_size(), bool)
        mask[[i for token, i in self.backend.get_vocab().items() if len(token) > 1 and token[0] == _METASPACE]] = True
        return mask


def _special_tokens(backend) -> tuple[list[int], list[int], list[int]]:
    """The special tokens before A, between A and B, and after the last segment, taken from an encoded pair."""
    a, b = backend.encode("a", add_special_tokens=False).ids, backend.encode("b", add_special_tokens=False).ids
    pair = backend.encode("a", "b").ids
    start_a = _find_sublist(pair, a, 0)
    start_b = _find_sublist(pair, b, start_a + len(a))
    return pair[:start_a], pair[start_a + len(a) : start_b], pair[start_b + len(b) :]


def _find_sublist(ids: list[int], part: list[int], start: int) -> int:
    for i in range(start, len(ids) - len(part) + 1):
        if ids[i : i + len(part)] == part:
            return i
    raise ValueError("the tokenizer's template for pairs does not hold both segments")


def _trim_leading_spaces(texts: Sequence[str], rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Move token starts past leading white space, in place. Metaspace tokenizers include it in their spans."""
    # All texts as one array of code points, so that no Python loop runs over characters.
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(codes):
        return
    text_starts = offsets_of(np.fromiter(map(len, texts), np.int64, len(texts)))[rows]
    for _ in range(8):  # white space inside one token is short; the rest of a longer run stays in the span
        at = np.minimum(text_starts + starts, len(codes) - 1)
        is_space = (starts < ends) & _IS_SPACE[np.minimum(codes[at], len(_IS_SPACE) - 1)]
        if not is_space.any():
            return
        starts[is_space] += 1
