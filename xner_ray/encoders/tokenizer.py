"""Raw text to token ids with character offsets, and the templates of one and of two segments.

Text goes in as one raw string a sentence, never as words: feeding Chinese character by character costs 40 points of F1,
because the pieces that pre-training saw are words. Offsets tie tokens to characters, so any word division can come later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from xner_ray.encoders.ragged import Ragged, concatenate, constant, offsets_of, ranges

_flat = chain.from_iterable
_SPACE = np.array([chr(code).isspace() for code in range(0x3002)])  # U+3000 is the last that is white space


@dataclass(frozen=True)
class Tokens:
    """Tokens of texts, without special tokens. `starts`, `ends`: int32 [tokens], characters of the text, spaces trimmed."""

    ids: Ragged
    starts: np.ndarray
    ends: np.ndarray

    def take(self, rows: np.ndarray) -> Tokens:
        """Those of the given texts."""
        at = ranges(self.ids.offsets[rows], self.ids.lengths[rows])
        return Tokens(self.ids.take(rows), self.starts[at], self.ends[at])


class Tokenizer:
    """A thin, picklable wrapper of a fast tokenizer.

    Args:
        folder: a Hugging Face folder.
        plain: read its tokenizer.json as it is, without transformers (and so torch), which corrects it for some models.
    """

    def __init__(self, folder: str, plain: bool = False):
        from tokenizers import Tokenizer

        from xner_ray.encoders.load import load_tokenizer

        self.folder = str(folder)
        self.backend = (
            Tokenizer.from_file(f"{folder}/tokenizer.json") if plain else load_tokenizer(folder).backend_tokenizer
        )
        self.backend.no_truncation()
        self.backend.no_padding()
        self.space = self.backend.token_to_id("\u2581")  # a piece of metaspace alone: stands for no character
        self.prefix, self.middle, self.suffix = _template(self.backend)

    def __call__(self, texts: Sequence[str], trim: bool = True) -> Tokens:
        """Tokenize raw strings.

        Args:
            trim: tokens hold no white space, and a metaspace alone holds nothing; else offsets are the tokenizer's own.
        """
        encoded = self.backend.encode_batch(list(texts), add_special_tokens=False)
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        total = int(lengths.sum())
        ids = np.fromiter(_flat(e.ids for e in encoded), np.int32, total)
        spans = np.fromiter(_flat(_flat(e.offsets for e in encoded)), np.int32, 2 * total).reshape(-1, 2)
        starts, ends = spans[:, 0].copy(), spans[:, 1].copy()
        if trim:
            _trim_spaces(texts, np.repeat(np.arange(len(lengths)), lengths), starts, ends)
            if self.space is not None:
                # Put before a text that starts without a space, it is given the first character's offsets, which are not its.
                empty = ids == self.space
                ends[empty] = starts[empty]
        return Tokens(Ragged(ids, offsets_of(lengths)), starts, ends)

    def one(self, ids: Ragged) -> Ragged:
        """`<s> A </s>`."""
        return concatenate([constant(self.prefix, len(ids)), ids, constant(self.suffix, len(ids))])

    def two(self, first: Ragged, second: Ragged) -> tuple[Ragged, Ragged]:
        """`<s> A </s></s> B </s>` (or what the model's template says), and its segment ids: 0 for A, 1 for B."""
        rows = len(first)
        parts = [constant(self.prefix, rows), first, constant(self.middle, rows), second, constant(self.suffix, rows)]
        ids = concatenate(parts)
        segments = concatenate(
            [Ragged(np.full(len(p.values), i >= 3, np.int32), p.offsets) for i, p in enumerate(parts)]
        )
        return ids, segments

    def begins(self) -> np.ndarray:
        """bool [vocabulary]: tokens that begin a word, as metaspace tokenizers mark them."""
        begins = np.zeros(self.backend.get_vocab_size(), bool)
        begins[[i for piece, i in self.backend.get_vocab().items() if len(piece) > 1 and piece[0] == "\u2581"]] = True
        return begins

    def second_starts(self, first: Ragged) -> np.ndarray:
        """int64 [rows]: where segment B begins in the rows of `two`."""
        return len(self.prefix) + first.lengths + len(self.middle)


def _template(backend) -> tuple[list[int], list[int], list[int]]:
    """The special tokens before A, between A and B, and after the last segment, read off the tokenizer itself."""
    a, b = backend.encode("a", add_special_tokens=False).ids, backend.encode("b", add_special_tokens=False).ids
    pair = backend.encode("a", "b").ids
    at_a = _find(pair, a, 0)
    at_b = _find(pair, b, at_a + len(a))
    return pair[:at_a], pair[at_a + len(a) : at_b], pair[at_b + len(b) :]


def _find(ids: list[int], part: list[int], start: int) -> int:
    for i in range(start, len(ids) - len(part) + 1):
        if ids[i : i + len(part)] == part:
            return i
    raise ValueError("the tokenizer's pair template does not hold its segments")


def _trim_spaces(texts: Sequence[str], rows: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> None:
    """Move the start of tokens past leading white space, which metaspace tokenizers count in."""
    # Code points as numbers: a million characters meet no Python.
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(codes):
        return
    base = offsets_of(np.fromiter(map(len, texts), np.int64, len(texts)))[rows]
    for _ in range(8):  # a run of white space inside one token is short; what is longer keeps its spaces
        at = np.minimum(base + starts, len(codes) - 1)
        move = (starts < ends) & _SPACE[np.minimum(codes[at], len(_SPACE) - 1)]
        if not move.any():
            return
        starts[move] += 1
