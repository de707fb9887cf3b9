"""A tagger as ONNX: a graph that ONNX Runtime runs without torch, in a folder with config and tokenizer.

Weights lie beside the graph, not in it: they are then mapped into memory and not parsed, which starts a session of
e5-small in 0.15 s instead of 1.0 s, in 150 MB instead of 530.

The export is checked before the folder appears: the probabilities of some sentences, of several lengths in one batch, must
agree with torch within TOLERANCE. Weights stay fp32; quantizing is for `onnxruntime.quantization`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.encoders.load import load_model, load_tokenizer, quiet_transformers, save_tokenizer, split_at_spaces
from xner_ray.errors import UserError
from xner_ray.storage.atomic import new_dir

TOLERANCE = 1e-3
OPSET = 18
SAMPLES = (
    "Angela Merkel besucht Paris.",
    "El Banco Central Europeo subió los tipos de interés en julio.",
    "柏林很大。",
    "Ok",
)


def export_onnx(folder: str | Path, out: str | Path) -> float:
    """Write `model.onnx` and its weights, `model.onnx.data`, beside config, tokenizer and card.

    Args:
        folder: a trained token classifier.
        out: a folder that is not there yet, or empty.

    Returns:
        the largest difference of a probability from torch's.

    Raises:
        UserError: onnx packages are missing, `out` holds something, or the difference exceeds TOLERANCE.
    """
    with new_dir(out, "--out") as made:
        _check_packages()
        model, tokenizer = load_model(folder).eval().float(), load_tokenizer(folder)
        model.config._attn_implementation = "eager"  # traced without the shape tests of fused attention
        batch = tokenizer(list(SAMPLES), padding=True, return_tensors="pt")
        names = [x for x in ("input_ids", "attention_mask", "token_type_ids") if x in batch and _takes(model, x)]
        inputs = {name: batch[name] for name in names}
        _write(model, inputs, made / "model.onnx")
        difference = _difference(model, inputs, made / "model.onnx")
        if not difference <= TOLERANCE:
            raise UserError(f"ONNX Runtime differs from torch by {difference:.2g}", file=folder, remedy="report it")
        save_tokenizer(folder, made)
        _write_tokenizer(tokenizer, made / "tokenizer.json")
        for name in ("config.json", "README.md"):
            if (Path(folder) / name).exists():
                shutil.copy(Path(folder) / name, made / name)
    return difference


def _write_tokenizer(tokenizer: Any, file: Path) -> None:
    """As transformers reads it, which corrects some: whoever reads the export does so without transformers."""
    backend = tokenizer.backend_tokenizer
    backend.no_padding()
    backend.no_truncation()
    backend.save(str(file))
    split_at_spaces(file)


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as e:
        raise UserError(f"{e.name} is not installed", remedy="pip install 'xner_ray[onnx]'") from e


def _takes(model: Any, name: str) -> bool:
    import inspect

    return name in inspect.signature(model.forward).parameters


def _write(model: Any, inputs: dict[str, Any], path: Path) -> None:
    import torch

    class Logits(torch.nn.Module):
        """The model with a tensor as its output, which is what a graph can return."""

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *tensors):
            return self.model(**dict(zip(inputs, tensors, strict=True))).logits

    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=model.config.max_position_embeddings)}
    with quiet_transformers(), torch.inference_mode():
        torch.onnx.export(
            Logits().eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=["logits"],
            opset_version=OPSET,
            dynamic_shapes={"tensors": tuple(shape for _ in inputs)},
            dynamo=True,
            external_data=True,
            verbose=False,
        )


def _difference(model: Any, inputs: dict[str, Any], path: Path) -> float:
    """Largest difference of a real token's probability, in the batch and for each sentence alone."""
    import onnxruntime
    import torch

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = 0.0
    whole = inputs["attention_mask"].sum(dim=1).tolist()
    alone = [{k: v[i : i + 1, :n] for k, v in inputs.items()} for i, n in enumerate(whole)]
    for feed in (inputs, *alone):
        with torch.inference_mode():
            ours = torch.softmax(model(**feed).logits, dim=-1).numpy()
        (logits,) = session.run(["logits"], {k: v.numpy() for k, v in feed.items()})
        theirs = torch.softmax(torch.from_numpy(logits), dim=-1).numpy()
        real = feed["attention_mask"].numpy().astype(bool)
        worst = max(worst, float(np.abs(ours - theirs)[real].max()))
    return worst
