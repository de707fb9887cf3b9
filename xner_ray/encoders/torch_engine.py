"""The engine for labeling and aligning: a PyTorch model, its device, its precision, and the reaction to exhausted memory.

It needs torch and NumPy, but no Ray, so it runs in any process.
"""

from __future__ import annotations

import numpy as np
import torch

from xner_ray.encoders.engine_base import BatchedEngine, Forward, is_finite, require_finite
from xner_ray.encoders.ragged import Ragged


def choose_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of a precision's name.

    Args:
        precision: auto | fp32 | bf16 | fp16. `auto` is bf16 on GPUs from Ampere on, and on CPUs that multiply in bf16 (AMX,
            AVX-512 BF16). It is fp16 on older GPUs and fp32 on other CPUs.
        device: where the model runs.
    """
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
    multiplies_bf16 = torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if multiplies_bf16 else torch.float32


def precision_name(dtype: torch.dtype) -> str:
    """The precision of a dtype, as configs name it."""
    return {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[dtype]


class TorchEngine(BatchedEngine):
    """Runs a token classifier of transformers.

    Args:
        model: the model; it is set to eval mode, moved to the device and cast here.
        max_batch_tokens: padded tokens of a forward pass.
        precision: auto | fp32 | bf16 | fp16, the dtype of the weights, see `choose_precision`.
        device: where to run; None: the GPU if there is one, else the CPU.
    """

    def __init__(self, model, max_batch_tokens: int = 4096, precision: str = "auto", device: str | None = None):
        super().__init__(model.config, max_batch_tokens)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.dtype = choose_precision(precision, self.device)
        self.model = model.eval().to(self.device, self.dtype)

    def hidden_states(self, ids: Ragged, layer: int) -> np.ndarray:
        """Hidden states of every token after `layer` transformer layers.

        Args:
            ids: int32 token ids with special tokens, at most `max_length` a row.
            layer: 0 (the embeddings) to the model's number of layers.

        Returns:
            float32 [tokens, width], in the order of `ids.values`.
        """

        def forward(padded, mask, segment_ids):
            out = self.model.base_model(**self._inputs(padded, mask, segment_ids), output_hidden_states=True)
            return out.hidden_states[layer].float().cpu().numpy()

        return self.run(ids, None, forward)

    @torch.inference_mode()
    def run(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        """Run a forward function over all rows without gradients, see `BatchedEngine.run`."""
        return super().run(ids, segment_ids, forward)

    def _forward_probabilities(self, ids, mask, segment_ids) -> np.ndarray:
        logits = self.model(**self._inputs(ids, mask, segment_ids)).logits
        return torch.softmax(logits.float(), dim=-1).cpu().numpy()

    def _run_distinct(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        result = self._run_in_memory(ids, segment_ids, forward)
        if is_finite(result):
            return result
        if self.dtype != torch.float32:
            self.stats.fp32_repeats += 1
            self.model.float()
            try:
                result = self._run_in_memory(ids, segment_ids, forward)
            finally:
                self.model.to(self.dtype)  # weights that were rounded to this dtype do not change
        return require_finite(result)

    def _run_in_memory(self, ids: Ragged, segment_ids: Ragged | None, forward: Forward) -> np.ndarray:
        """Run rows, with smaller batches if the memory of the device is exhausted."""
        max_batch_tokens = self.max_batch_tokens
        while True:
            try:
                return self._run_batches(ids, segment_ids, forward, max_batch_tokens)
            except torch.OutOfMemoryError:
                if max_batch_tokens <= int(ids.lengths.max()):
                    raise
                max_batch_tokens //= 2  # all rows run again, so that their scores come from one batch size
                self.stats.oom_backoffs += 1
                torch.cuda.empty_cache()

    def _inputs(self, ids: np.ndarray, mask: np.ndarray, segment_ids: np.ndarray | None) -> dict[str, torch.Tensor]:
        """The keyword arguments of the model's forward."""
        arrays = {"input_ids": ids, "attention_mask": mask.astype(np.int64), "token_type_ids": segment_ids}
        return {k: torch.from_numpy(v).to(self.device) for k, v in arrays.items() if v is not None}
