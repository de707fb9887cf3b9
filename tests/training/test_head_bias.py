"""A new head begins with the frequencies of the labels; a trained one keeps its bias."""

import numpy as np
import torch

from tests.harness.tiny_job import LABELS, SilentBackend, make_job
from xner_ray.config import AlignerConfig, TrainingConfig
from xner_ray.encoders.load import load_model
from xner_ray.training.data import TrainSet
from xner_ray.training.head_bias import start_at_frequencies
from xner_ray.training.trainer import Trainer


def test_a_new_head_begins_with_the_frequencies_of_the_labels(tiny_encoder, tmp_path):
    job = make_job(tiny_encoder, tmp_path, head_bias="frequencies")
    labels = TrainSet.load(tmp_path / "data.npz").labels
    counts = np.bincount(labels[labels >= 0], minlength=len(LABELS)) + 1
    bias = Trainer(job, SilentBackend(), device="cpu").model.classifier.bias.detach()
    assert np.allclose(torch.softmax(bias, 0), counts / counts.sum(), atol=1e-6)
    assert abs(float(bias.mean())) < 1e-6


def test_weights_of_tokens_count(tiny_encoder, tmp_path):
    make_job(tiny_encoder, tmp_path, weights=True)
    data = TrainSet.load(tmp_path / "data.npz")
    model = load_model(tiny_encoder, LABELS)
    start_at_frequencies(model, data)
    sums = np.array([data.weights[data.labels == label].sum() for label in range(len(LABELS))]) + 1
    assert np.allclose(torch.softmax(model.classifier.bias.detach(), 0), sums / sums.sum(), atol=1e-6)


def test_a_trained_head_keeps_its_bias(tiny_encoder, tmp_path):
    make_job(tiny_encoder, tmp_path)
    model = load_model(tiny_encoder, LABELS)
    with torch.no_grad():
        model.classifier.bias[0] = 0.5
    start_at_frequencies(model, TrainSet.load(tmp_path / "data.npz"))
    assert model.classifier.bias.tolist() == [0.5, 0.0, 0.0]


def test_teacher_and_students_begin_with_zero_as_in_transformers(tiny_encoder, tmp_path):
    trainer = Trainer(make_job(tiny_encoder, tmp_path), SilentBackend(), device="cpu")
    assert not trainer.model.classifier.bias.any()


def test_the_aligner_begins_with_frequencies_unless_the_config_says_otherwise():
    assert AlignerConfig().training.head_bias == "frequencies"
    assert AlignerConfig(training=TrainingConfig(epochs=2)).training.head_bias == "frequencies"
    assert AlignerConfig.model_validate({"training": {"head_bias": "zero"}}).training.head_bias == "zero"
