"""The engine of an exported tagger: ONNX Runtime in place of torch, so that `xner tag` starts in a second or two.

It runs on the CPU in fp32. Use it for few sentences; labeling uses `torch_engine.py`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from xner_ray.encoders.data_only import check_data_only
from xner_ray.encoders.engine_base import Batch, BatchedEngine, Fetch
from xner_ray.encoders.folder_check import read_model_config
from xner_ray.encoders.token_budget import CPU_TOKENS, TokenBudget
from xner_ray.errors import UserError

FILE = "model.onnx"


class OnnxEngine(BatchedEngine):
    """Runs the `model.onnx` of a folder.

    Args:
        folder: as `xner export-model` writes it.
        max_batch_tokens: padded tokens of a forward pass; auto: `CPU_TOKENS`.

    Raises:
        UserError: onnxruntime is not installed.
    """

    def __init__(self, folder: str | Path, max_batch_tokens: TokenBudget = "auto"):
        try:
            import onnxruntime
        except ImportError as e:
            raise UserError(f"{e.name} is not installed", remedy="pip install 'xner_ray[onnx]'") from e

        check_data_only(folder)
        budget = CPU_TOKENS if max_batch_tokens == "auto" else max_batch_tokens
        super().__init__(SimpleNamespace(**read_model_config(folder)), budget)
        self.session = onnxruntime.InferenceSession(str(Path(folder) / FILE), providers=["CPUExecutionProvider"])
        self.inputs = {x.name for x in self.session.get_inputs()}

    def _forward_probabilities(self, batch: Batch) -> Fetch:
        ids, mask, segment_ids = batch.inputs
        feed = {"input_ids": ids, "attention_mask": mask.astype(np.int64)}
        if "token_type_ids" in self.inputs:
            feed["token_type_ids"] = np.zeros_like(ids) if segment_ids is None else segment_ids
        (logits,) = self.session.run(["logits"], feed)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)
        return lambda: probabilities
