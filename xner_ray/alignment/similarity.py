"""Untrained word alignment: cosine similarity of the hidden states of a middle layer of a multilingual encoder.

Two tokens match when each is the other's nearest neighbor, as in SimAlign (Jalili Sabet et al. 2020). The span of an entity is
the longest run of words that its tokens match. This needs no training, so it makes the training examples of the aligner, it is
the aligner's fallback, and it is the baseline of projection. The cost: one-to-one matches miss articles, compounds and second
mentions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from xner_ray.alignment.candidates import Projection
from xner_ray.alignment.span_expansion import MAX_EXPANSION_WORDS, project_spans
from xner_ray.alignment.spans import Spans
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.batching import greedy_batches
from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.ner.word_spans import WordSpans

CHUNK_PAIRS = 512  # pairs whose hidden states are in memory together
MAX_CELLS = 1 << 22  # of one batch of similarity matrices


class Similarity:
    """Matches tokens of sentence pairs by an encoder's hidden states.

    Args:
        engine: holds the encoder.
        tokenizer: of the encoder.
        layer: number of transformer layers before the hidden states that are compared.

    Attributes:
        num_truncated: sentences longer than the encoder so far. The tokens beyond have no match.
    """

    def __init__(self, engine: TorchEngine, tokenizer: Tokenizer, layer: int = 7):
        self.engine, self.tokenizer, self.layer = engine, tokenizer, layer
        self.num_truncated = 0

    @classmethod
    def load(
        cls,
        encoder: str,
        layer: int = 7,
        precision: str = "auto",
        max_batch_tokens: int = 4096,
        device: str | None = None,
    ) -> Similarity:
        """Load an encoder without the layers above `layer`.

        Args:
            encoder: `embedded`, hub id, or folder.
            layer: number of transformer layers before the hidden states that are compared.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            max_batch_tokens: padded tokens of a forward pass.
            device: such as `cpu`; None: a GPU where there is one.

        Raises:
            UserError: the encoder has fewer layers.
        """
        from xner_ray.encoders.load import encoder_folder

        folder = encoder_folder(encoder)
        engine = TorchEngine(_load_lower_layers(folder, layer), max_batch_tokens, precision, device)
        return cls(engine, Tokenizer(str(folder)), layer)

    @staticmethod
    def save(encoder: str, layer: int, out: Path) -> None:
        """Save what `load` needs of an encoder, the layers up to `layer` and the tokenizer, in a folder."""
        from xner_ray.encoders.load import encoder_folder, quiet_transformers, save_tokenizer

        folder = encoder_folder(encoder)
        model = _load_lower_layers(folder, layer)
        with quiet_transformers():
            model.save_pretrained(out)
        save_tokenizer(folder, out)

    def match(self, sources: Sequence[str], targets: Sequence[str]) -> TokenMatches:
        """Match the tokens of sentence pairs.

        Args:
            sources, targets: raw strings, one of each for a pair.
        """
        with self.engine.stats.timed("tokenize"):
            source, target = self.tokenizer(sources), self.tokenizer(targets)
        nearest_target, nearest_source = (np.full(len(t.ids.values), -1, np.int64) for t in (source, target))
        cosine = np.zeros(len(nearest_target), np.float32)
        for start in range(0, len(sources), CHUNK_PAIRS):
            pairs = np.arange(start, min(start + CHUNK_PAIRS, len(sources)))
            source_index, source_lengths = self._truncated(source.ids, pairs)
            target_index, target_lengths = self._truncated(target.ids, pairs)
            # Both sides in one call, so that the batches are made of rows of similar length of both sides.
            ids = np.concatenate([source.ids.values[source_index], target.ids.values[target_index]])
            states = self._unit_states(Ragged(ids, offsets_of(np.concatenate([source_lengths, target_lengths]))))
            to_target, to_source, cosine[source_index] = nearest_neighbors(
                Ragged(states[: len(source_index)], offsets_of(source_lengths)),
                Ragged(states[len(source_index) :], offsets_of(target_lengths)),
            )
            for nearest, index, neighbors, other in (
                (nearest_target, source_index, to_target, target_index),
                (nearest_source, target_index, to_source, source_index),
            ):
                nearest[index[neighbors >= 0]] = other[neighbors[neighbors >= 0]]
        return TokenMatches(source, target, nearest_target, nearest_source, cosine)

    def _truncated(self, ids: Ragged, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices (into `ids.values`) of the tokens of rows that fit the encoder, and their number in each row."""
        max_tokens = self.engine.max_length - len(self.tokenizer.prefix) - len(self.tokenizer.suffix)
        lengths = np.minimum(ids.lengths[rows], max_tokens)
        self.num_truncated += int(np.sum(lengths < ids.lengths[rows]))
        return ranges(ids.offsets[rows], lengths), lengths

    def _unit_states(self, ids: Ragged) -> np.ndarray:
        """Hidden states of tokens, without those of special tokens, scaled to length 1: float32 [tokens, width]."""
        rows = self.tokenizer.with_special_tokens(ids)
        content = ranges(rows.offsets[:-1] + len(self.tokenizer.prefix), ids.lengths)
        states = self.engine.hidden_states(rows, self.layer)[content]
        return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-9)

    def project_entities(
        self, sources: Sequence[str], entities: Sequence[Sequence[tuple]], targets: Sequence[str], language: str
    ) -> list[list[Projection]]:
        """Project entities without a trained aligner. Arguments and result are those of `Projector.project_entities`.

        Each mention is projected alone, so `entity` is the mention's own index.
        """
        counts = np.fromiter((len(e) for e in entities), np.int64, len(entities))
        edges = np.array([(e[0], e[1]) for row in entities for e in row], np.int64).reshape(-1, 2)
        rows = np.repeat(np.arange(len(entities)), counts)
        index = np.arange(len(rows)) - np.repeat(offsets_of(counts)[:-1], counts)
        spans, scores = project_spans(
            self.match(sources, targets),
            WordSpans.from_texts(targets, language),
            pa.array(targets, pa.string()),
            Spans(rows, edges[:, 0], edges[:, 1]),
            max_expansion_words=MAX_EXPANSION_WORDS,
        )
        result: list[list[Projection]] = [[] for _ in sources]
        for i in np.flatnonzero(spans.starts < spans.ends).tolist():
            score = round(float(scores[i]), 4)
            result[rows[i]].append(Projection(int(index[i]), int(spans.starts[i]), int(spans.ends[i]), score))
        return result


def _load_lower_layers(folder: Path, layer: int):
    """The encoder of a folder without the layers above `layer`."""
    from xner_ray.encoders.folder_check import check_loaded
    from xner_ray.encoders.load import load_pretrained, quiet_transformers
    from xner_ray.errors import UserError
    from xner_ray.training.freezing import transformer_layers

    with quiet_transformers():
        model, info = load_pretrained("AutoModel", folder, output_loading_info=True)
    check_loaded(folder, info)
    layers = transformer_layers(model)
    if layer > len(layers):
        raise UserError(
            f"the encoder has {len(layers)} layers", key="aligner.similarity_layer", remedy=f"at most {len(layers)}"
        )
    # One layer more stays, because some models normalize the states of the last layer.
    del layers[layer + 1 :]
    model.config.num_hidden_layers = len(layers)
    return model


def nearest_neighbors(source: Ragged, target: Ragged) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nearest neighbors by dot product within each row, in both directions.

    Args:
        source, target: float32 vectors [tokens, width], the same number of rows.

    Returns:
        int64 [source tokens], index of the nearest target token in `target.values`; -1 where the row has none.
        int64 [target tokens], index of the nearest source token in `source.values`; -1 where the row has none.
        float32 [source tokens], the dot product with the nearest target token; 0 where the row has none.
    """
    to_target, to_source = np.full(len(source.values), -1, np.int64), np.full(len(target.values), -1, np.int64)
    product = np.zeros(len(to_target), np.float32)
    sizes = np.maximum(source.lengths, target.lengths)
    longest = max(1, int(sizes.max(initial=1)))
    for batch in greedy_batches(sizes, max(longest, MAX_CELLS // longest)):
        a, is_source = _pad(source, batch)
        b, is_target = _pad(target, batch)
        if not a.shape[1] or not b.shape[1]:
            continue
        table = torch.bmm(a, b.transpose(1, 2))
        table.masked_fill_(~is_source[:, :, None] | ~is_target[:, None, :], float("-inf"))
        best_product, best_target = (x.numpy() for x in table.max(dim=2))
        best_source = table.argmax(dim=1).numpy()
        has_both = is_source.any(1, keepdim=True) & is_target.any(1, keepdim=True)
        row, token = (x.numpy() for x in (is_source & has_both).nonzero(as_tuple=True))
        index = source.offsets[batch[row]] + token
        to_target[index], product[index] = (
            target.offsets[batch[row]] + best_target[row, token],
            best_product[row, token],
        )
        row, token = (x.numpy() for x in (is_target & has_both).nonzero(as_tuple=True))
        to_source[target.offsets[batch[row]] + token] = source.offsets[batch[row]] + best_source[row, token]
    return to_target, to_source, product


def _pad(rows: Ragged, batch: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded vectors, float32 [batch, longest, width], and where they are real, bool [batch, longest]."""
    lengths = rows.lengths[batch]
    mask = np.arange(int(lengths.max(initial=0)))[None, :] < lengths[:, None]
    padded = np.zeros((*mask.shape, rows.values.shape[1]), np.float32)
    padded[mask] = rows.values[ranges(rows.offsets[batch], lengths)]
    return torch.from_numpy(padded), torch.from_numpy(mask)
