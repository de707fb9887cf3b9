"""The untrained start: which tokens of a pair mean the same, by cosine similarity of an encoder's middle layer.

Two tokens match when each is the other's nearest (argmax both ways), after SimAlign (Jalili Sabet et al. 2020). An
entity's span is the longest run of the tokens that its own tokens match. It needs no training at all, which is why it
bootstraps the aligner's examples; what it trades: one-to-one matches miss articles, compounds and second mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from xner_ray.alignment.span_expansion import GROWTH, project_spans
from xner_ray.encoders.batching import greedy_batches
from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.ner.word_spans import WordSpans

CHUNK = 512  # pairs whose hidden states are in memory together
CELLS = 1 << 22  # cells of one block of similarity matrices


@dataclass(frozen=True)
class Matches:
    """Token matches of pairs.

    Attributes:
        source, target: the tokens of both sides.
        nearest: int64 [source tokens], the most similar token of the target, as a position in `target.ids.values`; -1:
        none. back: int64 [target tokens], the same the other way.
        cosine: float32 [source tokens], similarity to the nearest token of the other side.
    """

    source: Tokens
    target: Tokens
    nearest: np.ndarray
    back: np.ndarray
    cosine: np.ndarray

    @cached_property
    def forward(self) -> np.ndarray:
        """int64 [source tokens]: the matching token of the target, -1 where nearness is not mutual."""
        some = self.nearest >= 0
        some[some] = self.back[self.nearest[some]] == np.flatnonzero(some)
        return np.where(some, self.nearest, -1)

    def reversed(self) -> Matches:
        cosine = np.zeros(len(self.back), np.float32)
        some = self.forward >= 0
        cosine[self.forward[some]] = self.cosine[some]
        return Matches(self.target, self.source, self.back, self.nearest, cosine)


class Similarity:
    """Token matches by an encoder's hidden states.

    Args:
        engine: holds the encoder.
        tokenizer: the encoder's.
        layer: after how many transformer layers the states are taken.
    """

    def __init__(self, engine: TorchEngine, tokenizer: Tokenizer, layer: int = 7):
        self.engine, self.tokenizer, self.layer = engine, tokenizer, layer
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
        from xner_ray.encoders.load import encoder_folder

        folder = encoder_folder(encoder)
        return cls(
            TorchEngine(_lower_layers(folder, layer), batch_tokens, precision, device), Tokenizer(str(folder)), layer
        )

    @staticmethod
    def save(encoder: str, layer: int, out: str | Path) -> None:
        """Write what `load` needs of an encoder into the folder `out`: the lower layers, float32, and the tokenizer."""
        from xner_ray.encoders.load import encoder_folder, quiet_transformers, save_tokenizer

        folder = encoder_folder(encoder)
        model = _lower_layers(folder, layer)
        with quiet_transformers():
            model.save_pretrained(out)
        save_tokenizer(folder, out)

    def match(self, sources: Sequence[str], targets: Sequence[str]) -> Matches:
        """Match the tokens of aligned raw strings."""
        with self.engine.stats.timed("tokenize"):
            source, target = self.tokenizer(sources), self.tokenizer(targets)
        nearest, back = (np.full(len(t.ids.values), -1, np.int64) for t in (source, target))
        cosine = np.zeros(len(nearest), np.float32)
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
                source.ids.offsets[rows], target.ids.offsets[rows], nearest, back, cosine,
            )  # fmt: skip
        return Matches(source, target, nearest, back, cosine)

    def _room(self, ids: Ragged, rows: np.ndarray) -> Ragged:
        """Rows as long as the encoder takes them."""
        room = self.engine.max_length - len(self.tokenizer.prefix) - len(self.tokenizer.suffix)
        lengths = np.minimum(ids.lengths[rows], room)
        self.cut += int(np.sum(lengths < ids.lengths[rows]))
        return Ragged(ids.values[ranges(ids.offsets[rows], lengths)], offsets_of(lengths))

    def _states(self, ids: Ragged) -> np.ndarray:
        """Unit vectors of the tokens of A in `<s> A </s>`."""
        framed = self.tokenizer.with_special_tokens(ids)
        states = self.engine.hidden_states(framed, self.layer)[
            ranges(framed.offsets[:-1] + len(self.tokenizer.prefix), ids.lengths)
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
        cut = WordSpans.from_texts(targets, language)
        starts, ends, scores = project_spans(matches, cut, rows, flat[:, 0], flat[:, 1], growth=GROWTH)
        out: list[list[tuple[int, int, int, float]]] = [[] for _ in sources]
        for i in np.flatnonzero(starts < ends).tolist():
            out[rows[i]].append((int(index[i]), int(starts[i]), int(ends[i]), round(float(scores[i]), 4)))
        return out


def _lower_layers(folder: Path, layer: int):
    """The encoder of a folder without the layers above `layer`."""
    from transformers import AutoModel

    from xner_ray.encoders.load import quiet_transformers
    from xner_ray.errors import UserError
    from xner_ray.training.freezing import layers_of

    with quiet_transformers():
        model = AutoModel.from_pretrained(str(folder), use_safetensors=True)
    stack = layers_of(model)
    if layer > len(stack):
        raise UserError(
            f"the encoder has {len(stack)} layers", key="aligner.similarity_layer", remedy=f"at most {len(stack)}"
        )
    # One layer stays above: some models normalize the last one's states.
    del stack[layer + 1 :]
    model.config.num_hidden_layers = len(stack)
    return model


def _match_chunk(left: Ragged, right: Ragged, left_at, right_at, nearest, back, cosine) -> None:
    """Nearest neighbors of the rows of a chunk, both ways, written into the flat arrays at `left_at`, `right_at`."""
    sizes = np.maximum(left.lengths, right.lengths)
    side = max(1, int(sizes.max(initial=1)))
    for batch in greedy_batches(sizes, max(side, CELLS // side)):
        a, real_a = _pad(left, batch)
        b, real_b = _pad(right, batch)
        if not a.shape[1] or not b.shape[1]:
            continue
        table = torch.bmm(a, b.transpose(1, 2))
        table.masked_fill_(~real_a[:, :, None] | ~real_b[:, None, :], float("-inf"))
        near, of_a = (x.numpy() for x in table.max(dim=2))
        of_b = table.argmax(dim=1).numpy()
        both = real_a.any(1, keepdim=True) & real_b.any(1, keepdim=True)  # else nothing is near
        row, token = (x.numpy() for x in (real_a & both).nonzero(as_tuple=True))
        at = left_at[batch[row]] + token
        nearest[at], cosine[at] = right_at[batch[row]] + of_a[row, token], near[row, token]
        row, token = (x.numpy() for x in (real_b & both).nonzero(as_tuple=True))
        back[right_at[batch[row]] + token] = left_at[batch[row]] + of_b[row, token]


def _pad(rows: Ragged, batch: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 [batch, longest, width] and bool [batch, longest]."""
    lengths = rows.lengths[batch]
    mask = np.arange(int(lengths.max(initial=0)))[None, :] < lengths[:, None]
    out = np.zeros((*mask.shape, rows.values.shape[1]), np.float32)
    out[mask] = rows.values[ranges(rows.offsets[batch], lengths)]
    return torch.from_numpy(out), torch.from_numpy(mask)
