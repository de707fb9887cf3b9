"""The one engine for all inference: teacher and aligner are both token classifiers.

What it does around a forward pass is `runner.py`'s; here are torch, devices, precision, and what happens when memory runs
out. It needs torch and NumPy alone, no Ray, so it runs and is measured anywhere.
"""

from __future__ import annotations

import numpy as np
import torch

from xner_ray.encoders.engine_base import Forward, Runner
from xner_ray.encoders.ragged import Ragged


def choose_precision(wanted: str, device: torch.device) -> torch.dtype:
    """`auto`: bf16 from Ampere on and on CPUs that multiply in it (AMX, AVX-512 BF16), fp16 on older GPUs, else fp32."""
    if wanted != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[wanted]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    multiplies = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if multiplies else torch.float32


class Engine(Runner):
    """Runs a token classifier over ragged token ids.

    Args:
        model: a transformers model; put into eval mode, moved and cast here.
        budget: padded tokens of a forward pass.
        precision: auto | fp32 | bf16 | fp16, the type of the weights.
        device: where to run; default: the GPU if there is one.
    """

    def __init__(self, model, budget: int = 4096, precision: str = "auto", device: str | None = None):
        super().__init__(model.config, budget)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = choose_precision(precision, self.device)
        self.model = model.eval().to(self.device, self.dtype)

    def probabilities(self, ids: Ragged, types: Ragged | None = None) -> np.ndarray:
        """Softmax over labels for every token.

        Args:
            ids: token ids with special tokens, at most `max_length` a row (see `windows.py` for longer text).
            types: segment ids of the same shape, for models that have them.

        Returns:
            float32 [tokens, labels], in the order of `ids.values`.
        """

        def forward(padded, mask, segments):
            logits = self.model(**self._inputs(padded, mask, segments)).logits
            return torch.softmax(logits.float(), dim=-1).cpu().numpy()

        return self.run(ids, types, forward)

    def hidden(self, ids: Ragged, layer: int) -> np.ndarray:
        """Hidden states after `layer` transformer layers: float32 [tokens, width]."""

        def forward(padded, mask, segments):
            out = self.model.base_model(**self._inputs(padded, mask, segments), output_hidden_states=True)
            return out.hidden_states[layer].float().cpu().numpy()

        return self.run(ids, None, forward)

    @torch.inference_mode()
    def run(self, ids: Ragged, types: Ragged | None, forward: Forward) -> np.ndarray:
        return super().run(ids, types, forward)

    def forward_all(self, ids: Ragged, types: Ragged | None, forward: Forward) -> np.ndarray:
        budget = self.budget
        while True:
            try:
                return self.at_budget(ids, types, forward, budget)
            except torch.OutOfMemoryError:
                if budget <= int(ids.lengths.max()):
                    raise
                budget //= 2  # the whole shard again, so that its scores come from one budget
                self.counts.halvings += 1
                torch.cuda.empty_cache()

    def _inputs(self, padded: np.ndarray, mask: np.ndarray, segments: np.ndarray | None) -> dict[str, torch.Tensor]:
        arrays = {"input_ids": padded, "attention_mask": mask.astype(np.int64), "token_type_ids": segments}
        return {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items() if v is not None}
