"""Untrained word alignment: cosine similarity of the hidden states of a middle layer of a multilingual encoder.

It has two uses. For training examples of the aligner, two tokens match when each is the other's nearest neighbor, as in SimAlign
(Jalili Sabet et al. 2020): such matches are few and clean. For projection, soft alignments of each mention are mixed with the
trained aligner (`soft_alignment.py`, `ensemble.py`), because matches one to one miss articles, compounds and second mentions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from xner_ray.alignment.candidates import Projection
from xner_ray.alignment.matching import gather_rows, nearest_neighbors, similarity_tables
from xner_ray.alignment.soft_alignment import mention_weights, pad_weights, token_mass, word_mass
from xner_ray.alignment.span_search import MIN_SCORE, WordMass, name_windows
from xner_ray.alignment.spans import Spans, touched_tokens
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.batching import greedy_batches
from xner_ray.encoders.engine_base import is_finite
from xner_ray.encoders.prefetch import one_late
from xner_ray.encoders.ragged import Ragged, offsets_of, ranges
from xner_ray.encoders.token_budget import TokenBudget
from xner_ray.encoders.tokenizer import Tokenizer, Tokens
from xner_ray.encoders.torch_engine import TorchEngine
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.languages import get_language

CHUNK_BATCHES = 8  # batches whose hidden states are on the device together
MAX_CELLS = 1 << 22  # of one batch of similarity matrices
T = TypeVar("T")
Side = tuple[torch.Tensor, torch.Tensor]  # of a batch of pairs, see `gather_rows`


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
        max_batch_tokens: TokenBudget = "auto",
        device: str | None = None,
    ) -> Similarity:
        """Load an encoder without the layers above `layer`.

        Args:
            encoder: `embedded`, hub id, or folder.
            layer: number of transformer layers before the hidden states that are compared.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            max_batch_tokens: padded tokens of a forward pass; auto: by the memory of the device (`token_budget`).
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

    def match(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        source_tokens: Tokens | None = None,
        target_tokens: Tokens | None = None,
    ) -> TokenMatches:
        """Match the tokens of sentence pairs.

        Args:
            sources, targets: raw strings, one of each for a pair.
            source_tokens, target_tokens: of the strings, if this tokenizer has tokenized them before.
        """
        source, target = self._tokens(sources, source_tokens), self._tokens(targets, target_tokens)
        lengths = self._kept_lengths(source.ids, target.ids)
        if not lengths.size:
            return self._match(source, target, lengths)
        return self._run(lengths, lambda: self._match(source, target, lengths), lambda m: is_finite(m.cosine))

    def align_mentions(
        self,
        sources: Sequence[str],
        targets: Sequence[str],
        words: WordSpans,
        spans: Spans,
        source_tokens: Tokens | None = None,
        target_tokens: Tokens | None = None,
    ) -> WordMass:
        """Align mentions with the words of their targets.

        Args:
            sources, targets: raw strings, one of each for a pair.
            words: of the targets.
            spans: of the mentions in the sources; `rows` are pairs, ascending.
            source_tokens, target_tokens: of the strings, if this tokenizer has tokenized them before.

        Returns:
            The alignment. All is 0 where a side has fewer than two tokens: both directions compare tokens of one sentence.
        """
        source, target = self._tokens(sources, source_tokens), self._tokens(targets, target_tokens)
        lengths = self._kept_lengths(source.ids, target.ids)
        forward, backward = (
            self._run(lengths, lambda: self._align(source, target, lengths, spans), is_finite)
            if len(spans)
            else np.zeros((2, 0), np.float32)
        )
        offsets = offsets_of(lengths[1, spans.rows])
        return word_mass(Ragged(forward, offsets), Ragged(backward, offsets), target, words, spans.rows)

    def _tokens(self, strings: Sequence[str], tokens: Tokens | None) -> Tokens:
        with self.engine.stats.timed("tokenize"):
            return self.tokenizer(strings) if tokens is None else tokens

    def _kept_lengths(self, source: Ragged, target: Ragged) -> np.ndarray:
        """Number of tokens of each source and target that fit the encoder: int64 [2, pairs]. Counts the truncated ones."""
        max_tokens = self.engine.max_length - len(self.tokenizer.prefix) - len(self.tokenizer.suffix)
        self.num_truncated += int(np.sum(source.lengths > max_tokens) + np.sum(target.lengths > max_tokens))
        return np.stack([np.minimum(side.lengths, max_tokens) for side in (source, target)])

    def _run(self, lengths: np.ndarray, run: Callable[[], T], is_finite: Callable[[T], bool]) -> T:
        """`TorchEngine.run_finite` of pairs with these numbers of tokens: int64 [2, pairs], at least one pair."""
        longest = int(lengths.max()) + len(self.tokenizer.prefix) + len(self.tokenizer.suffix)
        with self.engine.stats.timed("forward"), torch.inference_mode():
            return self.engine.run_finite(run, is_finite, longest)

    def _match(self, source: Tokens, target: Tokens, lengths: np.ndarray) -> TokenMatches:
        """Match tokens. `lengths` has the number of tokens of each source and target that fit the encoder: int64 [2, pairs]."""
        nearest_target, nearest_source = (np.full(len(t.ids.values), -1, np.int64) for t in (source, target))
        cosine = np.zeros(len(nearest_target), np.float32)
        for pairs, fetch in one_late(self._start_batches(source.ids, target.ids, lengths, self._start_match)):
            (source_lengths, target_lengths), packed = lengths[:, pairs], fetch()
            widths = np.cumsum([source_lengths.max(), target_lengths.max()])
            to_target, to_source, similarity = np.split(packed, widths, axis=1)
            in_source = ranges(source.ids.offsets[pairs], source_lengths)
            in_target = ranges(target.ids.offsets[pairs], target_lengths)
            is_source, is_target = _is_token(source_lengths), _is_token(target_lengths)
            nearest_target[in_source] = (to_target + target.ids.offsets[pairs, None])[is_source]
            nearest_source[in_target] = (to_source + source.ids.offsets[pairs, None])[is_target]
            cosine[in_source] = similarity[is_source].view(np.float32)
        return TokenMatches(source, target, nearest_target, nearest_source, cosine)

    def _align(self, source: Tokens, target: Tokens, lengths: np.ndarray, spans: Spans) -> np.ndarray:
        """Forward and backward of `token_mass`, float32 [2, kept target tokens of all mentions]. `lengths` as in `_match`."""
        weights, first = mention_weights(source, spans), touched_tokens(source, spans)[0]
        first = first - source.ids.offsets[spans.rows]  # from the first token of the sentence
        mention_counts = np.bincount(spans.rows, minlength=lengths.shape[1])
        mention_offsets = offsets_of(mention_counts)
        target_lengths = lengths[1, spans.rows]
        offsets = offsets_of(target_lengths)
        mass = np.zeros((2, int(offsets[-1])), np.float32)

        def start(pairs: np.ndarray, source_rows: Side, target_rows: Side) -> Callable[[], np.ndarray]:
            mentions = ranges(mention_offsets[pairs], mention_counts[pairs])
            padded = pad_weights(
                weights.take(mentions), first[mentions], mention_counts[pairs], source_rows[1].shape[1]
            )
            found = token_mass(source_rows, target_rows, self.engine.to_device(padded))
            return self.engine.to_host(torch.stack(found))

        is_used = (mention_counts > 0) & (lengths > 1).all(axis=0)
        for pairs, fetch in one_late(self._start_batches(source.ids, target.ids, lengths * is_used, start)):
            counts, found = mention_counts[pairs], fetch()
            mentions = ranges(mention_offsets[pairs], counts)
            is_mention, is_token = _is_token(counts), _is_token(target_lengths[mentions])
            mass[:, ranges(offsets[mentions], target_lengths[mentions])] = found[:, is_mention][:, is_token]
        return mass

    def _start_batches(
        self,
        source: Ragged,
        target: Ragged,
        lengths: np.ndarray,
        start: Callable[[np.ndarray, Side, Side], Callable[[], np.ndarray]],
    ) -> Iterator[tuple[np.ndarray, Callable[[], np.ndarray]]]:
        """Start the batches of pairs that have tokens on both sides.

        Args:
            source, target: token ids.
            lengths: number of tokens of each source and target that are used, int64 [2, pairs].
            start: of pairs and both sides on the device; starts the work of a batch, and returns a function that waits for it.

        Yields:
            The pairs, and what `start` returned.
        """
        pairs = np.flatnonzero(lengths.all(axis=0))
        chunk_of = np.cumsum(lengths.sum(axis=0))[pairs] // (CHUNK_BATCHES * self.engine.max_batch_tokens)
        for chunk in np.split(pairs, np.flatnonzero(np.diff(chunk_of)) + 1):
            if not len(chunk):
                continue
            # Both sides in one call, so that the batches are made of rows of similar length of both sides.
            sides = [(source, lengths[0, chunk]), (target, lengths[1, chunk])]
            values = [ids.values[ranges(ids.offsets[chunk], side_lengths)] for ids, side_lengths in sides]
            rows = Ragged(np.concatenate(values), offsets_of(lengths[:, chunk].ravel()))
            states, starts = self.engine.device_states(self.tokenizer.with_special_tokens(rows), self.layer)
            starts = (starts + len(self.tokenizer.prefix)).reshape(2, -1)
            sizes = lengths[:, chunk].max(axis=0)
            longest = int(sizes.max())
            for batch in greedy_batches(sizes, min(self.engine.max_batch_tokens, MAX_CELLS // longest)):
                kept = lengths[:, chunk[batch]]
                device_rows = self.engine.to_device(np.stack([starts[:, batch], kept], axis=1))
                device_sides = [
                    gather_rows(states, device_rows[i, 0], device_rows[i, 1], int(kept[i].max())) for i in (0, 1)
                ]
                yield chunk[batch], start(chunk[batch], device_sides[0], device_sides[1])
            del states, device_sides  # before the states of the next chunk are made

    def _start_match(self, pairs: np.ndarray, source: Side, target: Side) -> Callable[[], np.ndarray]:
        """`nearest_neighbors` as one int32 array, side by side; the floats keep their bits."""
        to_target, to_source, cosine = nearest_neighbors(similarity_tables(source, target))
        return self.engine.to_host(torch.cat([to_target, to_source, cosine.view(torch.int32)], dim=1))

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
        words = WordSpans.from_texts(targets, language)
        mass = self.align_mentions(sources, targets, words, Spans(rows, edges[:, 0], edges[:, 1]))
        first, last, scores = name_windows(mass, get_language(language).uses_spaces)
        result: list[list[Projection]] = [[] for _ in sources]
        for i in np.flatnonzero(scores >= MIN_SCORE).tolist():
            offset = words.offsets[rows[i]]
            start, end = words.starts[offset + first[i]], words.ends[offset + last[i] - 1]
            result[rows[i]].append(Projection(int(index[i]), int(start), int(end), round(float(scores[i]), 4)))
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


def _is_token(lengths: np.ndarray) -> np.ndarray:
    """Where padded rows of these lengths have tokens: bool [rows, longest]."""
    return np.arange(lengths.max()) < lengths[:, None]
