"""The engine interface, and the base class of engines that run a model: `TorchEngine` and `OnnxEngine`.

The base class does all but the forward pass. It runs equal rows once, splits the rows into micro-batches of similar length,
and returns one result for each token in the order of the input. It needs NumPy alone. The results of a whole shard are in
memory at once: float32 [tokens, width], a few MB for label probabilities.

A device works while the host does other things: a thread pads the next batches, and the result of a batch is fetched after the
next batch was started.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xner_ray.encoders.batching import min_cost_batches, pad_batch, padding_ratio
from xner_ray.encoders.engine_stats import EngineStats
from xner_ray.encoders.prefetch import one_late, prefetched
from xner_ray.encoders.ragged import Ragged, ranges

NOT_FINITE = "the model gives values that are not finite"
# Types of models whose first token has the position behind the padding id. Their table of positions is longer than their rows.
POSITIONS_BEHIND_PADDING = (
    "camembert",
    "data2vec-text",
    "esm",
    "ibert",
    "layoutlmv3",
    "lilt",
    "longformer",
    "luke",
    "markuplm",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)


@dataclass(frozen=True)
class Batch:
    """The rows of one forward pass, padded on the host.

    Attributes:
        tokens: int64 [tokens], index in `ids.values` of all rows, for each token of this batch.
        mask: bool [rows, longest], True at tokens, False at padding.
        inputs: padded int64 ids, `mask`, and int64 segment ids (None: all 0), or what the engine makes of them.
    """

    tokens: np.ndarray
    mask: np.ndarray
    inputs: Any


# Waits for the result of a forward pass, float32 [rows, longest, width].
Fetch = Callable[[], np.ndarray]
# Starts a forward pass.
Forward = Callable[[Batch], Fetch]


class InferenceEngine(Protocol):
    """What taggers and projectors need of an engine.

    Attributes:
        max_length: longest row in tokens, special tokens included.
        stats: counters and timings.
    """

    max_length: int
    stats: EngineStats

    def probabilities(self, ids: Ragged, segment_ids: Ragged | None = None) -> np.ndarray:
        """Label probabilities of every token.

        Args:
            ids: int32 token ids with special tokens, at most `max_length` a row.
            segment_ids: 0 or 1 for each token (`token_type_ids`); None: all 0. Ignored by models without segments.

        Returns:
            float32 [tokens, labels], in the order of `ids.values`.
        """
        ...


class BatchedEngine(ABC):
    """An engine without its forward pass, which a subclass defines. Precision and device belong to the subclass.

    Args:
        config: of the model, with the attributes of a Hugging Face config.
        max_batch_tokens: padded tokens of a forward pass.
    """

    def __init__(self, config: Any, max_batch_tokens: int):
        self.max_batch_tokens, self.stats = max_batch_tokens, EngineStats()
        self.pad_id = getattr(config, "pad_token_id", None) or 0
        self.has_segment_ids = getattr(config, "type_vocab_size", 1) > 1
        self.max_length = max_sequence_length(config)

    def probabilities(self, ids: Ragged, segment_ids: Ragged | None = None) -> np.ndarray:
        """Label probabilities of every token, see `InferenceEngine.probabilities`."""
        return self.run(ids, segment_ids, self._forward_probabilities)

    @abstractmethod
    def _forward_probabilities(self, batch: Batch) -> Fetch:
        """Softmax over labels; a `Forward`."""

    def _host_inputs(self, ids: np.ndarray, mask: np.ndarray, segment_ids: np.ndarray | None) -> Any:
        """The `inputs` of a batch. This runs in the thread that pads."""
        return ids, mask, segment_ids

    def run(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        """Run a forward function over all rows.

        Returns:
            float32 [tokens, width], in the order of `ids.values`.

        Raises:
            ValueError: a row is longer than `max_length`.
        """
        if not len(ids):
            return np.zeros((0, 1), np.float32)
        first, inverse = self.distinct_rows(ids)
        if len(first) == len(ids):
            return self._run_distinct(ids, segment_ids, forward)
        distinct = ids.take(first)
        flat = self._run_distinct(distinct, segment_ids.take(first) if segment_ids is not None else None, forward)
        return flat[ranges(distinct.offsets[inverse], ids.lengths)]

    def distinct_rows(self, ids: Ragged) -> tuple[np.ndarray, np.ndarray]:
        """`deduplicate_rows` of at least one row. The rows are counted.

        Raises:
            ValueError: a row is longer than `max_length`.
        """
        longest = int(ids.lengths.max())
        if longest > self.max_length:
            raise ValueError(f"a row has {longest} tokens, but the model takes at most {self.max_length}")
        first, inverse = deduplicate_rows(ids)
        self.stats.rows += len(ids)
        self.stats.repeated_rows += len(ids) - len(first)
        return first, inverse

    def _run_distinct(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        """Run rows that all differ."""
        return require_finite(self._run_batches(ids, segment_ids, forward))

    def _run_batches(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        out: np.ndarray | None = None
        started = ((batch, forward(batch)) for batch in self.batches(ids, segment_ids))
        with self.stats.timed("forward"):
            for batch, fetch in one_late(started):
                result = fetch()
                if out is None:
                    out = np.empty((len(ids.values), result.shape[-1]), np.float32)
                out[batch.tokens] = result[batch.mask]
        assert out is not None
        return out

    def batches(self, ids: Ragged, segment_ids: Ragged | None) -> Iterator[Batch]:
        """The padded batches of all rows. They are counted when all of them were taken."""
        lengths = ids.lengths
        batches = min_cost_batches(lengths, self.max_batch_tokens)

        def pad(batch: np.ndarray) -> Batch:
            padded, mask = pad_batch(ids, batch, self.pad_id)
            segments = None
            if segment_ids is not None and self.has_segment_ids:
                segments, _ = pad_batch(segment_ids, batch, 0)
            tokens = ranges(ids.offsets[batch], lengths[batch])
            return Batch(tokens, mask, self._host_inputs(padded, mask, segments))

        yield from prefetched(pad, batches)
        self.stats.tokens += int(lengths.sum())
        self.stats.padded_tokens += round(float(lengths.sum()) / (1 - padding_ratio(lengths, batches)))


def is_finite(result: np.ndarray) -> bool:
    """Whether a result has neither NaN nor infinity."""
    return bool(np.isfinite(result).all())


def require_finite(result: np.ndarray) -> np.ndarray:
    """The result of a model.

    Raises:
        ValueError: it has NaN or infinity. Decoding would find no entity in it, without an error.
    """
    if not is_finite(result):
        raise ValueError(NOT_FINITE)
    return result


def max_sequence_length(config: Any) -> int:
    """Longest row that a model takes, in tokens. The positions of XLM-R start behind the padding id, those of BERT at 0."""
    positions = getattr(config, "max_position_embeddings", 512)
    if config.model_type not in POSITIONS_BEHIND_PADDING:
        return positions
    pad_id = getattr(config, "pad_token_id", None)
    return positions - 1 - max(1, 1 if pad_id is None else pad_id)


def deduplicate_rows(ids: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """Find equal rows. Segment ids follow from the separators in `ids`, so equal ids are equal inputs.

    Returns:
        first: int64 [distinct], ascending row numbers of the first occurrences.
        inverse: int64 [rows], for each row the index in `first` of the row that it equals.
    """
    seen: dict[bytes, int] = {}
    inverse = np.empty(len(ids), np.int64)
    first: list[int] = []
    data = ids.values.tobytes()
    offsets = (ids.offsets * ids.values.itemsize).tolist()
    for row in range(len(ids)):
        index = seen.setdefault(data[offsets[row] : offsets[row + 1]], len(seen))
        if index == len(first):
            first.append(row)
        inverse[row] = index
    return np.asarray(first, np.int64), inverse
