"""The untrained start: which tokens of a pair mean the same, by cosine similarity of an encoder's middle layer.

Two tokens match when each is the other's nearest (argmax both ways), after SimAlign (Jalili Sabet et al. 2020). An
entity's span is the longest run of the tokens that its own tokens match. It needs no training at all, which is why it
bootstraps the aligner's examples; what it trades: one-to-one matches miss articles, compounds and second mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xner_ray.align.decode import token_range
from xner_ray.encoder.batches import plan
from xner_ray.encoder.engine import Engine
from xner_ray.encoder.ragged import Ragged, offsets_of, ranges
from xner_ray.encoder.tokenise import Tokeniser, Tokens
from xner_ray.ner.encode import Words, words_of

CHUNK = 512  # pairs whose hidden states are in memory together
CELLS = 1 << 22  # cells of one block of similarity matrices


@dataclass(frozen=True)
class Matches:
    """Token matches of pairs.

    Attributes:
        source, target: the tokens of both sides.
        forward: int64 [source tokens], the matching token of the target, as a position in `target.ids.values`; -1:
        none. backward: int64 [target tokens], the same the other way; `backward[forward[i]] == i`.
        cosine: float32 [source tokens], similarity to the nearest token of the other side.
    """

    source: Tokens
    target: Tokens
    forward: np.ndarray
    backward: np.ndarray
    cosine: np.ndarray

    def reversed(self) -> Matches:
        cosine = np.zeros(len(self.backward), np.float32)
        some = self.backward >= 0
        cosine[some] = self.cosine[self.backward[some]]
        return Matches(self.target, self.source, self.backward, self.forward, cosine)


class Similarity:
    """Token matches by an encoder's hidden states.

    Args:
        engine: holds the encoder.
        tokeniser: the encoder's.
        layer: after how many transformer layers the states are taken.
    """

    def __init__(self, engine: Engine, tokeniser: Tokeniser, layer: int = 7):
        self.engine, self.tokeniser, self.layer = engine, tokeniser, layer
        self.cut = 0  # sentences longer than the encoder, whose last tokens have no match

    @classmethod
    def load(
        cls,
        encoder: str,
        layer: int = 7,
        precision: str = "auto",
        batch_tokens: int = 4096,
        device: str | None = None,
    ) -> Similarity:
        """Load an encoder (`embedded | hub id | folder`); the layers above `layer` are left out, for speed."""
        from xner_ray.encoder.load import encoder_folder

        folder = encoder_folder(encoder)
        return cls(
            Engine(_lower_layers(folder, layer), batch_tokens, precision, device), Tokeniser(str(folder)), layer
        )

    @staticmethod
    def save(encoder: str, layer: int, out: str | Path) -> None:
        """Write what `load` needs of an encoder into the folder `out`: the lower layers, float32, and the tokenizer."""
        from xner_ray.encoder.load import encoder_folder, save_tokenizer
        from xner_ray.encoder.quiet import quiet

        folder = encoder_folder(encoder)
        model = _lower_layers(folder, layer)
        with quiet():
            model.save_pretrained(out)
        save_tokenizer(folder, out)

    def match(self, sources: Sequence[str], targets: Sequence[str]) -> Matches:
        """Match the tokens of aligned raw strings."""
        source, target = self.tokeniser(sources), self.tokeniser(targets)
        forward, backward = (np.full(len(t.ids.values), -1, np.int64) for t in (source, target))
        cosine = np.zeros(len(forward), np.float32)
        for at in range(0, len(sources), CHUNK):
            rows = np.arange(at, min(at + CHUNK, len(sources)))
            # Both sides in one call, so that their lengths sort together.
            left, right = self._room(source.ids, rows), self._room(target.ids, rows)
            ids = Ragged(
                np.concatenate([left.values, right.values]),
                np.concatenate([left.offsets, left.offsets[-1] + right.offsets[1:]]),
            )
            states = self._states(ids)
            n = int(left.offsets[-1])
            _match_chunk(
                Ragged(states[:n], left.offsets), Ragged(states[n:], right.offsets),
                source.ids.offsets[rows], target.ids.offsets[rows], forward, backward, cosine,
            )  # fmt: skip
        return Matches(source, target, forward, backward, cosine)

    def _room(self, ids: Ragged, rows: np.ndarray) -> Ragged:
        """Rows as long as the encoder takes them."""
        room = self.engine.max_length - len(self.tokeniser.prefix) - len(self.tokeniser.suffix)
        lengths = np.minimum(ids.lengths[rows], room)
        self.cut += int(np.sum(lengths < ids.lengths[rows]))
        return Ragged(ids.values[ranges(ids.offsets[rows], lengths)], offsets_of(lengths))

    def _states(self, ids: Ragged) -> np.ndarray:
        """Unit vectors of the tokens of A in `<s> A </s>`."""
        framed = self.tokeniser.one(ids)
        states = self.engine.hidden(framed, self.layer)[
            ranges(framed.offsets[:-1] + len(self.tokeniser.prefix), ids.lengths)
        ]
        return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-9)

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[tuple[int, int, int, float]]]:
        """As `Projector.project_entities`, but each mention is aligned for itself, so `entity` is the mention's own
        index.
        """
        matches = self.match(sources, targets)
        counts = np.fromiter((len(e) for e in entities), np.int64, len(entities))
        flat = np.array([(e[0], e[1]) for row in entities for e in row], np.int64).reshape(-1, 2)
        rows = np.repeat(np.arange(len(entities)), counts)
        index = np.arange(len(rows)) - np.repeat(offsets_of(counts)[:-1], counts)
        cut = words_of(targets, language)
        starts, ends, scores = project_spans(matches, cut, rows, flat[:, 0], flat[:, 1])
        out: list[list[tuple[int, int, int, float]]] = [[] for _ in sources]
        for i in np.flatnonzero(starts < ends).tolist():
            out[rows[i]].append((int(index[i]), int(starts[i]), int(ends[i]), round(float(scores[i]), 4)))
        return out


def _lower_layers(folder: Path, layer: int):
    """The encoder of a folder without the layers above `layer`."""
    from transformers import AutoModel

    from xner_ray.encoder.quiet import quiet
    from xner_ray.errors import UserError
    from xner_ray.training.freezing import layers_of

    with quiet():
        model = AutoModel.from_pretrained(str(folder), use_safetensors=True)
    stack = layers_of(model)
    if layer > len(stack):
        raise UserError(f"the encoder has {len(stack)} layers", key="aligner.layer", remedy=f"at most {len(stack)}")
    # One layer stays above: some models normalise the last one's states.
    del stack[layer + 1 :]
    model.config.num_hidden_layers = len(stack)
    return model


def _match_chunk(left: Ragged, right: Ragged, left_at, right_at, forward, backward, cosine) -> None:
    """Mutual nearest neighbours of the rows of a chunk, written into the flat arrays at `left_at`, `right_at`."""
    sizes = np.maximum(left.lengths, right.lengths)
    side = max(1, int(sizes.max(initial=1)))
    for batch in plan(sizes, max(side, CELLS // side)):
        a, real_a = _pad(left, batch)
        b, real_b = _pad(right, batch)
        if not a.shape[1] or not b.shape[1]:
            continue
        table = torch.bmm(a, b.transpose(1, 2))
        table.masked_fill_(~real_a[:, :, None] | ~real_b[:, None, :], float("-inf"))
        near, of_a = table.max(dim=2)
        of_b = table.argmax(dim=1)
        mutual = (of_b.gather(1, of_a) == torch.arange(a.shape[1])[None, :]) & real_a & real_b.any(1, keepdim=True)
        row, token = (x.numpy() for x in mutual.nonzero(as_tuple=True))
        other = of_a[mutual].numpy()
        i, j = left_at[batch[row]] + token, right_at[batch[row]] + other
        forward[i], backward[j], cosine[i] = j, i, near[mutual].numpy()


def _pad(rows: Ragged, batch: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [batch, longest, width] and bool [batch, longest]."""
    lengths = rows.lengths[batch]
    mask = np.arange(int(lengths.max(initial=0)))[None, :] < lengths[:, None]
    out = np.zeros((*mask.shape, rows.values.shape[1]), np.float32)
    out[mask] = rows.values[ranges(rows.offsets[batch], lengths)]
    return torch.from_numpy(out), torch.from_numpy(mask)


def project_spans(
    matches: Matches, words: Words, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, gap: int = 1
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spans of the target for spans of the source: the longest run of words that hold a matched token.

    Whole words, since a name's pieces match one by one while its endings and joints often match nothing.

    Args:
        matches: of all pairs.
        words: of the targets.
        rows, starts, ends: int [spans], the pair of each span and its characters.
        gap: words without a match that a run may step over.

    Returns:
        starts, ends: int64 [spans], characters of the target; both 0 where nothing matches. scores: float32 [spans],
        the mean similarity of the tokens that match into the run, times the share of the span's tokens that they are.
    """
    first, last = token_range(
        matches.source.starts, matches.source.ends, matches.source.ids.offsets, rows, starts, ends
    )
    sizes = last - first
    span = np.repeat(np.arange(len(rows)), sizes)
    token = ranges(first, sizes)
    token, span = (x[matches.forward[token] >= 0] for x in (token, span))
    at, near = matches.forward[token], matches.cosine[token]
    # A token may hold several words (Chinese): it hits them all, and its similarity counts at the first.
    low, high = token_range(
        words.starts, words.ends, words.offsets, rows[span], matches.target.starts[at], matches.target.ends[at]
    )
    hits = high - low
    word, of = ranges(low, hits), np.repeat(span, hits)
    value = np.repeat(near, hits) * (word == np.repeat(low, hits))
    order = np.lexsort((word, of))
    word, of, value = word[order], of[order], value[order]
    begins = np.ones(len(word), bool)
    begins[1:] = (of[1:] != of[:-1]) | (word[1:] - word[:-1] > gap + 1)
    heads = np.flatnonzero(begins)
    tails = np.append(heads[1:], len(word)) - 1
    total = np.add.reduceat(value, heads) if len(heads) else np.zeros(0)
    # The run of each span that holds most similarity; lexsort puts it last.
    order = np.lexsort((-heads, total, of[heads]))
    owner = of[heads][order]
    final = np.ones(len(order), bool)
    final[:-1] = owner[1:] != owner[:-1]
    chosen, owner = order[final], owner[final]
    out_starts, out_ends, scores = (
        np.zeros(len(rows), np.int64),
        np.zeros(len(rows), np.int64),
        np.zeros(len(rows), np.float32),
    )
    out_starts[owner] = words.starts[word[heads[chosen]]]
    out_ends[owner] = words.ends[word[tails[chosen]]]
    scores[owner] = total[chosen] / sizes[owner]
    return out_starts, out_ends, scores
