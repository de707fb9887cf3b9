"""The engine of an exported tagger: ONNX Runtime in place of torch, so that `xner tag` answers in a second or two.

It is for few sentences at a time. fp32 on CPUs only; labeling millions of pairs is `engine.py`'s.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from xner_ray.encoders.engine_base import Runner
from xner_ray.encoders.ragged import Ragged
from xner_ray.errors import UserError

FILE = "model.onnx"


class OnnxEngine(Runner):
    """Runs the `model.onnx` of a folder over ragged token ids; see `engine.Engine` for what its methods mean.

    Args:
        folder: as `xner export-model` writes it.
        budget: padded tokens of a forward pass.

    Raises:
        UserError: onnxruntime is not installed.
    """

    def __init__(self, folder: str | Path, budget: int = 4096):
        try:
            import onnxruntime
        except ImportError as e:
            raise UserError(f"{e.name} is not installed", remedy="pip install 'xner_ray[onnx]'") from e

        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
        super().__init__(SimpleNamespace(**config), budget)
        self.session = onnxruntime.InferenceSession(str(Path(folder) / FILE), providers=["CPUExecutionProvider"])
        self.inputs = {x.name for x in self.session.get_inputs()}

    def probabilities(self, ids: Ragged, types: Ragged | None = None) -> np.ndarray:
        """Softmax over labels for every token: float32 [tokens, labels]."""

        def forward(padded: np.ndarray, mask: np.ndarray, segments: np.ndarray | None) -> np.ndarray:
            feed = {"input_ids": padded, "attention_mask": mask.astype(np.int64)}
            if "token_type_ids" in self.inputs:
                feed["token_type_ids"] = np.zeros_like(padded) if segments is None else segments
            (logits,) = self.session.run(["logits"], feed)
            powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return powers / powers.sum(axis=-1, keepdims=True)

        return self.run(ids, types, forward)
