"""What every engine does around a forward pass, whatever runs it: torch (`engine.py`) or ONNX Runtime (`onnx.py`).

It asks an identical question once, sorts a shard by length, cuts micro-batches by token budget, and gives back one row a
token in the order of the input. NumPy alone. What it trades: a whole shard's answers are in memory at once ([tokens, width]
float32, a few MB a shard for probabilities).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from xner_ray.encoders.batching import pad, padding, tight
from xner_ray.encoders.engine_stats import Counts
from xner_ray.encoders.ragged import Ragged, ranges

# Padded int64 ids, bool mask and int64 segment ids (None: the model has none), each [rows, longest], to float32
# [rows, longest, width].
Forward = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]


class Runner:
    """An engine but for its forward pass.

    Args:
        config: of the model, with the attributes of a Hugging Face config.
        budget: padded tokens of a forward pass.
    """

    def __init__(self, config: Any, budget: int):
        self.budget, self.counts = budget, Counts()
        self.pad_id = getattr(config, "pad_token_id", None) or 0
        self.has_types = getattr(config, "type_vocab_size", 1) > 1
        self.max_length = max_positions(config)

    def run(self, ids: Ragged, types: Ragged | None, forward: Forward) -> np.ndarray:
        """float32 [tokens, width], in the order of `ids.values`."""
        if not len(ids):
            return np.zeros((0, 1), np.float32)
        if int(ids.lengths.max()) > self.max_length:
            raise ValueError(f"a row of {int(ids.lengths.max())} tokens; the model takes {self.max_length}")
        unique, inverse = distinct(ids)
        self.counts.rows += len(ids)
        self.counts.repeated_rows += len(ids) - len(unique)
        if len(unique) == len(ids):
            return self.forward_all(ids, types, forward)
        kept, kept_types = ids.take(unique), types.take(unique) if types is not None else None
        flat = self.forward_all(kept, kept_types, forward)
        return flat[ranges(kept.offsets[inverse], ids.lengths)]

    def forward_all(self, ids: Ragged, types: Ragged | None, forward: Forward) -> np.ndarray:
        """All rows, which differ from each other."""
        return self.at_budget(ids, types, forward, self.budget)

    def at_budget(self, ids: Ragged, types: Ragged | None, forward: Forward, budget: int) -> np.ndarray:
        out: np.ndarray | None = None
        lengths = ids.lengths
        batches = tight(lengths, budget)
        with self.counts.timed("forward"):
            for batch in batches:
                padded, mask = pad(ids, batch, self.pad_id)
                segments = pad(types, batch, 0)[0] if types is not None and self.has_types else None
                result = forward(padded, mask, segments)
                if out is None:
                    out = np.empty((len(ids.values), result.shape[-1]), np.float32)
                out[ranges(ids.offsets[batch], lengths[batch])] = result[mask]
        self.counts.tokens += int(lengths.sum())
        self.counts.padded_tokens += round(float(lengths.sum()) / (1 - padding(lengths, batches)))
        assert out is not None
        return out


def max_positions(config: Any) -> int:
    """Longest row that a model takes: XLM-R's table starts behind the padding id, BERT's at 0."""
    positions = getattr(config, "max_position_embeddings", 512)
    return positions - 2 if config.model_type in ("xlm-roberta", "roberta", "camembert") else positions


def distinct(ids: Ragged) -> tuple[np.ndarray, np.ndarray]:
    """Rows that differ: (row numbers of the first of each kind, ascending; for every row the index of its kind).

    Segment ids follow from the ids' separators, so the ids alone identify a question.
    """
    seen: dict[bytes, int] = {}
    inverse = np.empty(len(ids), np.int64)
    first: list[int] = []
    data = ids.values.tobytes()
    offsets = (ids.offsets * ids.values.itemsize).tolist()
    for row in range(len(ids)):
        kind = seen.setdefault(data[offsets[row] : offsets[row + 1]], len(seen))
        if kind == len(first):
            first.append(row)
        inverse[row] = kind
    return np.asarray(first, np.int64), inverse
