"""The one engine for all inference: teacher and aligner are both token classifiers.

It sorts a shard by length, cuts micro-batches by token budget, asks an identical question once, windows what is longer than
the model, and gives back one probability row a token in the order of the input. It needs torch and NumPy alone, no Ray.
What it trades: a whole shard's probabilities are in memory at once ([tokens, labels] float32, a few MB a shard).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from xner_ray.encoder.batches import pad, padding, plan
from xner_ray.encoder.counts import Counts
from xner_ray.encoder.ragged import Ragged, ranges


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """`auto`: bf16 from Ampere on and on CPUs with AMX, fp16 on older GPUs, else fp32."""
    if wanted != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


class Engine:
    """Runs a token classifier over ragged token ids.

    Args:
        model: a transformers model; put into eval mode, moved and cast here.
        budget: padded tokens of a forward pass.
        precision: auto | fp32 | bf16 | fp16, the type of the weights.
        device: where to run; default: the GPU if there is one.
        max_length: longest row of the model, special tokens included.
    """

    def __init__(self, model, budget: int = 4096, precision: str = "auto", device: str | None = None):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = choose_precision(precision, self.device)
        self.model = model.eval().to(self.device, self.dtype)
        self.budget, self.counts = budget, Counts()
        config = model.config
        self.pad_id = config.pad_token_id or 0
        self.max_length = max_positions(config)

    def probabilities(self, ids: Ragged, types: Ragged | None = None) -> np.ndarray:
        """Softmax over labels for every token.

        Args:
            ids: token ids with special tokens, at most `max_length` a row (see `windows.py` for longer text).
            types: segment ids of the same shape, for models that have them.

        Returns:
            float32 [tokens, labels], in the order of `ids.values`.
        """

        def forward(batch_ids, mask, segments):
            logits = self.model(input_ids=batch_ids, attention_mask=mask, **segments).logits
            return torch.softmax(logits.float(), dim=-1)

        return self._run(ids, types, forward)

    def hidden(self, ids: Ragged, layer: int) -> np.ndarray:
        """Hidden states after `layer` transformer layers: float32 [tokens, width]."""

        def forward(batch_ids, mask, segments):
            out = self.model.base_model(
                input_ids=batch_ids, attention_mask=mask, output_hidden_states=True, **segments
            )
            return out.hidden_states[layer].float()

        return self._run(ids, None, forward)

    def _run(self, ids: Ragged, types: Ragged | None, forward: Callable) -> np.ndarray:
        if not len(ids):
            return np.zeros((0, 1), np.float32)
        if int(ids.lengths.max()) > self.max_length:
            raise ValueError(f"a row of {int(ids.lengths.max())} tokens; the model takes {self.max_length}")
        unique, inverse = distinct(ids, types)
        kept, kept_types = ids.take(unique), types.take(unique) if types is not None else None
        self.counts.rows += len(ids)
        self.counts.repeated_rows += len(ids) - len(unique)
        flat = self._forward_all(kept, kept_types, forward)
        if len(unique) == len(ids):
            return flat
        return flat[ranges(kept.offsets[inverse], ids.lengths)]

    def _forward_all(self, ids: Ragged, types: Ragged | None, forward: Callable) -> np.ndarray:
        budget = self.budget
        while True:
            try:
                return self._at_budget(ids, types, forward, budget)
            except torch.OutOfMemoryError:
                if budget <= int(ids.lengths.max()):
                    raise
                budget //= 2  # the whole shard again, so that its scores come from one budget
                self.counts.halvings += 1
                torch.cuda.empty_cache()

    def _at_budget(self, ids: Ragged, types: Ragged | None, forward: Callable, budget: int) -> np.ndarray:
        out: np.ndarray | None = None
        lengths, began = ids.lengths, time.perf_counter()
        batches = plan(lengths, budget)
        for batch in batches:
            padded, mask = pad(ids, batch, self.pad_id)
            segments = {}
            if types is not None and getattr(self.model.config, "type_vocab_size", 1) > 1:
                segments["token_type_ids"] = torch.from_numpy(pad(types, batch, 0)[0]).to(self.device)
            with torch.inference_mode():
                result = forward(
                    torch.from_numpy(padded).to(self.device),
                    torch.from_numpy(mask.astype(np.int64)).to(self.device),
                    segments,
                )
            result = result.cpu().numpy()
            if out is None:
                out = np.empty((len(ids.values), result.shape[-1]), np.float32)
            out[ranges(ids.offsets[batch], lengths[batch])] = result[mask]
        self.counts.tokens += int(lengths.sum())
        self.counts.padded_tokens += round(float(lengths.sum()) / (1 - padding(lengths, batches)))
        self.counts.forward_seconds += time.perf_counter() - began
        assert out is not None
        return out


def max_positions(config) -> int:
    """Longest row that a model takes: XLM-R's table starts behind the padding id, BERT's at 0."""
    positions = getattr(config, "max_position_embeddings", 512)
    return positions - 2 if config.model_type in ("xlm-roberta", "roberta", "camembert") else positions


def distinct(ids: Ragged, types: Ragged | None) -> tuple[np.ndarray, np.ndarray]:
    """Rows that differ: (row numbers of the first of each kind, ascending; for every row the index of its kind)."""
    seen: dict[bytes, int] = {}
    inverse = np.empty(len(ids), np.int64)
    first: list[int] = []
    data = ids.values.tobytes()
    offsets = (ids.offsets * ids.values.itemsize).tolist()
    for row in range(len(ids)):
        # Segment ids follow from the ids' separators, so the ids alone identify a question.
        kind = seen.setdefault(data[offsets[row] : offsets[row + 1]], len(seen))
        if kind == len(first):
            first.append(row)
        inverse[row] = kind
    return np.asarray(first, np.int64), inverse
