"""Fits the temperature of a trained tagger on development data, so that its scores are the fractions that are correct.

Focal losses train scores that are too low: 0.55 where 97% of the entities are correct. One number, the temperature, corrects
most of this. It is fitted to entities and not to tokens, because most tokens are outside of entities: it minimizes the log loss
of the score of each predicted entity, which is the mean over its words.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from xner_ray.encoders.batching import min_cost_batches
from xner_ray.encoders.ragged import ranges
from xner_ray.encoders.temperature import apply_temperature
from xner_ray.text.viterbi import continues, legal_sequences
from xner_ray.training.batches import make_batch
from xner_ray.training.data import IGNORE_INDEX, TrainSet
from xner_ray.training.job import TrainJob

_TEMPERATURES = np.geomspace(0.05, 20, 300)  # steps of 2%
MIN_ENTITIES = 20  # predicted entities; fewer say too little


def calibrate(model: torch.nn.Module, job: TrainJob) -> float | None:
    """Fit the temperature of a trained model on the calibration data of its job.

    Returns:
        the temperature; None: the job has no calibration data, or the model predicts fewer than `MIN_ENTITIES` entities in it.
    """
    if job.calibration is None:
        return None
    data = TrainSet.load(Path(job.calibration))
    units = np.flatnonzero(data.labels != IGNORE_INDEX)
    probabilities = _probabilities(model, data, job)[units]
    return fit_temperature(probabilities, data.labels[units], data.ids.row_ids()[units], job.labels)


def fit_temperature(probabilities: np.ndarray, gold: np.ndarray, rows: np.ndarray, labels: list[str]) -> float | None:
    """Fit a temperature to the entities that a tagger predicts.

    Args:
        probabilities: float32 [words, labels], without a temperature.
        gold: int [words], label ids.
        rows: int [words], the sentence of each word, ascending.
        labels: O, B-X, I-X, ... in the order of their ids.

    Returns:
        the temperature; None: fewer than `MIN_ENTITIES` entities are predicted.
    """
    predicted = legal_sequences(probabilities, rows, np.zeros(len(rows), bool), labels)
    inside = np.flatnonzero(predicted > 0)
    entity = np.cumsum(~continues(predicted, rows, labels)[inside]) - 1
    if not len(inside) or entity[-1] + 1 < MIN_ENTITIES:
        return None
    # An entity is wrong where a label differs, or where gold continues behind its last word.
    differs, goes_on = predicted != gold, np.zeros(len(rows), bool)
    goes_on[:-1] = continues(gold, rows, labels)[1:] & ~continues(predicted, rows, labels)[1:]
    wrong = np.bincount(entity, (differs | goes_on)[inside]) > 0
    # Platt's targets: without errors in the data, a score of 1 would be best.
    right = len(wrong) - wrong.sum()
    target = np.where(wrong, 1 / (wrong.sum() + 2), (right + 1) / (right + 2))
    sizes, chosen = np.bincount(entity), probabilities[inside]
    losses = []
    for temperature in _TEMPERATURES:
        scores = apply_temperature(chosen, float(temperature))[np.arange(len(inside)), predicted[inside]]
        mean = np.clip(np.bincount(entity, scores) / sizes, 1e-6, 1 - 1e-6)
        losses.append(-np.mean(target * np.log(mean) + (1 - target) * np.log(1 - mean)))
    return round(float(_TEMPERATURES[int(np.argmin(losses))]), 4)


@torch.no_grad()
def _probabilities(model: torch.nn.Module, data: TrainSet, job: TrainJob) -> np.ndarray:
    """Label probabilities of all tokens, in fp32."""
    device = next(model.parameters()).device
    result = np.zeros((len(data.ids.values), len(job.labels)), np.float32)
    for rows in min_cost_batches(data.ids.lengths, job.training.max_micro_batch_tokens):
        batch = make_batch(data, rows, model.config, device)
        scores = torch.softmax(model(**batch.inputs).logits.float(), dim=-1).cpu().numpy()
        mask = batch.inputs["attention_mask"].cpu().numpy().astype(bool)
        result[ranges(data.ids.offsets[rows], data.ids.lengths[rows])] = scores[mask]
    return result
