"""The temperature of a trained tagger: config.json of its folder stores it, and every use of its scores applies it.

A temperature (Guo et al. 2017) divides the logits of all labels. Labels are decoded without it, so it changes scores and no
label. `training.calibration` fits it. Transformers ignores the entry, and keeps it in `save_pretrained` and the export to ONNX.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from xner_ray.encoders.folder_check import read_model_config
from xner_ray.errors import UserError

TEMPERATURE = "xner_temperature"  # key of config.json
_SMALLEST = 1e-30  # in place of a probability of 0


def apply_temperature(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax of the logits divided by the temperature.

    Args:
        probabilities: float32 [tokens, labels], softmax of the logits.
        temperature: above 1 lowers the highest probability of each token, below 1 raises it.

    Returns:
        float32 [tokens, labels].
    """
    if temperature == 1 or not len(probabilities):
        return probabilities
    logits = np.log(np.maximum(probabilities, _SMALLEST, dtype=np.float32)) / np.float32(temperature)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def store_temperature(folder: str | Path, temperature: float | None) -> None:
    """Write the temperature of a model into its config.json, in place of that of the model that it started from.

    Args:
        folder: of the model.
        temperature: None: the model has none.
    """
    file = Path(folder) / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config.pop(TEMPERATURE, None)
    config |= {TEMPERATURE: temperature} if temperature is not None else {}
    file.write_text(json.dumps(config, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def stored_temperature(folder: str | Path) -> float:
    """The temperature in the config.json of a model; 1 if there is none.

    Raises:
        UserError: config.json cannot be read, or the entry is no positive number.
    """
    value = read_model_config(folder).get(TEMPERATURE, 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        problem, remedy = f"`{value}` is no positive number", "delete the entry, or train the model again"
        raise UserError(problem, file=Path(folder) / "config.json", key=TEMPERATURE, remedy=remedy)
    return float(value)
