"""A fitted temperature makes scores the fractions that are correct, and the model folder stores it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.harness.tiny_job import LABELS, make_job
from xner_ray.encoders.load import load_model, load_pretrained
from xner_ray.encoders.temperature import TEMPERATURE, apply_temperature, store_temperature, stored_temperature
from xner_ray.errors import UserError
from xner_ray.evaluation.calibration import expected_error, reliability
from xner_ray.text.tags import label_list
from xner_ray.training.calibration import MIN_ENTITIES, calibrate, fit_temperature
from xner_ray.training.checkpoint import save_model
from xner_ray.training.job import Result

NAMES = label_list(["LOC", "PER"])


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@given(st.integers(0, 20), st.sampled_from([0.1, 0.5, 1.0, 3.0]))
def test_a_temperature_divides_the_logits(seed, temperature):
    logits = np.random.default_rng(seed).normal(0, 3, (20, 5)).astype(np.float32)
    np.testing.assert_allclose(
        apply_temperature(softmax(logits), temperature), softmax(logits / temperature), atol=1e-5
    )


@pytest.mark.parametrize("distortion", [0.3, 1.0, 2.0])
def test_the_temperature_undoes_a_distortion(distortion):
    """Gold is drawn from the probabilities of true logits, and the model multiplies all logits by a factor."""
    random = np.random.default_rng(1)
    logits = random.normal(0, 3, (20_000, 5))
    logits[:, [2, 4]] = -50  # entities of one word, so that a score is the probability of its word
    gold = (softmax(logits).cumsum(axis=1) < random.random((len(logits), 1))).sum(axis=1)
    given_probabilities = softmax(logits * distortion)
    rows = np.arange(len(gold)) // 10
    temperature = fit_temperature(given_probabilities, gold, rows, NAMES)
    assert temperature == pytest.approx(distortion, rel=0.08)
    fitted = apply_temperature(given_probabilities, temperature)
    entities = fitted.argmax(axis=1) > 0
    correct = (fitted.argmax(axis=1) == gold)[entities]
    assert expected_error(reliability(fitted.max(axis=1)[entities], correct)) < 0.02


def test_a_span_that_gold_continues_is_wrong():
    """Every score is 0.8. All spans are one word too short, so low scores fit; if they are right, high scores fit."""
    n = MIN_ENTITIES
    probabilities = np.tile(
        np.array([[0.05, 0.8, 0.05, 0.05, 0.05], [0.8, 0.05, 0.05, 0.05, 0.05]], np.float32), (n, 1)
    )
    rows = np.repeat(np.arange(n), 2)
    short = fit_temperature(probabilities, np.tile([1, 2], n), rows, NAMES)
    right = fit_temperature(probabilities, np.tile([1, 0], n), rows, NAMES)
    assert short is not None and right is not None and short > 5 and right < 1


@pytest.mark.parametrize(
    ("languages", "has_dev", "reason"),
    [(["en"], False, "`dev` names no gold"), (["en"], True, f"fewer than {MIN_ENTITIES} entities"), ([], False, None)],
    ids=["no dev", "few entities", "aligner"],
)
def test_a_tagger_without_a_temperature_is_logged(tiny_encoder, tmp_path, languages, has_dev, reason):
    job = make_job(tiny_encoder, tmp_path)
    job = replace(job, languages=languages, calibration=job.data if has_dev else None)
    model, lines = load_model(job.start, LABELS).eval(), []
    model.classifier.bias.data[0] += 9  # predicts no entity
    save_model(model, job, Result(), lines.append)
    assert len(lines) == (reason is not None)
    assert all(line.startswith("[test] scores are not calibrated") and reason in line for line in lines)


def test_few_entities_fit_no_temperature():
    probabilities = np.tile(np.array([[0.1, 0.6, 0.1, 0.1, 0.1]], np.float32), (MIN_ENTITIES, 1))
    gold, rows = np.ones(MIN_ENTITIES, int), np.arange(MIN_ENTITIES)
    assert fit_temperature(probabilities, gold, rows, NAMES) is not None
    assert fit_temperature(probabilities[1:], gold[1:], rows[1:], NAMES) is None
    assert fit_temperature(probabilities[:0], gold[:0], rows[:0], NAMES) is None


def test_a_saved_model_has_the_temperature_of_its_calibration_data(tiny_encoder, tmp_path):
    job = make_job(tiny_encoder, tmp_path)
    calibrated = replace(job, calibration=job.data)
    assert calibrated.identity() == job.identity(), "the weights do not depend on it, so a checkpoint stays valid"
    model = load_model(job.start, LABELS)
    model.classifier.bias.data[1] += 3  # predicts entities
    model.eval()
    temperature = calibrate(model, calibrated)
    assert temperature is not None and temperature > 1, "most of its entities are wrong"
    save_model(model, calibrated, Result())
    assert stored_temperature(job.out) == temperature
    assert load_pretrained("AutoModelForTokenClassification", job.out).config.num_labels == len(LABELS)

    # A model that starts from it has no calibration data, so its temperature is not that of the first.
    second = replace(job, start=job.out, out=str(tmp_path / "second"))
    save_model(load_model(second.start, LABELS), second, Result())
    assert stored_temperature(second.out) == 1.0
    assert TEMPERATURE not in json.loads((Path(second.out) / "config.json").read_text())


@pytest.mark.parametrize("value", [0, -1, "warm", True, float("inf")])
def test_a_broken_temperature_is_an_error_with_its_key(tmp_path, value):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", TEMPERATURE: value}))
    with pytest.raises(UserError) as error:
        stored_temperature(tmp_path)
    assert error.value.key == TEMPERATURE and error.value.remedy
    store_temperature(tmp_path, None)  # the remedy
    assert stored_temperature(tmp_path) == 1.0
