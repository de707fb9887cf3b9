"""The loop of the engine never waits for a GPU, on an emulated one, and the device never waits for the loop."""

import logging
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from tests.harness.emulated_device import EmulatedDevice
from xner_ray.encoders import engine_base, prefetch
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import FOUR_DIMENSIONAL_MASKS, TorchEngine

LABELS = 3


def engine_of(model_type, max_batch_tokens=1024):
    """An engine with a small model of random weights."""
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(
        model_type,
        vocab_size=90,
        hidden_size=16,
        embedding_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        num_labels=LABELS,
        pad_token_id=1,
    )
    model = transformers.AutoModelForTokenClassification.from_config(config)
    return TorchEngine(model, max_batch_tokens, "fp32", "cpu")


@pytest.fixture(scope="module")
def ids():
    """Token ids of 12 rows of 3 to 40 tokens."""
    random = np.random.default_rng(0)
    return Ragged.from_rows([random.integers(2, 90, size=n) for n in random.integers(3, 41, size=12)])


@pytest.mark.parametrize("model_type", FOUR_DIMENSIONAL_MASKS)
def test_host_waits_for_no_batch(model_type, ids):
    engine = engine_of(model_type)
    expected = engine.probabilities(ids)
    device = EmulatedDevice()
    device.attach(engine)
    with device.running():
        probabilities = engine.probabilities(ids)
    assert not device.waits
    assert engine.stats.padded_tokens > engine.stats.tokens
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)


def test_transformers_waits_for_each_padded_mask_of_two_dimensions(ids):
    """This is why the engine expands the mask. The results are the same."""
    engine = engine_of("xlm-roberta")
    expected = engine.probabilities(ids)
    engine._expands_mask = False
    np.testing.assert_array_equal(engine.probabilities(ids), expected)
    device = EmulatedDevice()
    device.attach(engine)
    with device.running():
        engine.probabilities(ids)
    assert device.waits


@pytest.mark.parametrize("model_type", ["xlm-roberta", "bert", "distilbert", "deberta-v2"])
def test_rows_of_one_length_need_no_mask(model_type, monkeypatch):
    random = np.random.default_rng(0)
    ids = Ragged.from_rows([random.integers(2, 90, size=n) for n in [7] * 9 + [12, 30]])
    engine = engine_of(model_type)
    forward, masked = engine.model.forward, []

    def recorded(**inputs):
        masked.append("attention_mask" in inputs)
        return forward(**inputs)

    monkeypatch.setattr(engine.model, "forward", recorded)
    probabilities = engine.probabilities(ids)
    assert False in masked
    for row in range(len(ids)):  # with a mask, and padding that it hides
        padded = torch.tensor([[*ids[row].tolist(), 1, 1]])
        with torch.no_grad():
            logits = forward(input_ids=padded, attention_mask=(padded != 1).long()).logits[0, :-2]
        of_row = probabilities[ids.offsets[row] : ids.offsets[row + 1]]
        np.testing.assert_allclose(of_row, logits.softmax(-1).numpy(), atol=1e-6)


class SleepingModel(nn.Module):
    """Each forward pass keeps the device busy for some time."""

    def __init__(self, device, seconds):
        super().__init__()
        self.sleep = lambda: device.sleep(seconds)
        self.config = SimpleNamespace(model_type="bert", max_position_embeddings=64, pad_token_id=1)

    def forward(self, input_ids, attention_mask=None):
        self.sleep()
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, LABELS, device=input_ids.device))


def test_device_is_busy_while_the_host_pads(monkeypatch):
    """Here padding takes half as long as a forward pass, so a loop without a thread would need 1.5 times as long."""
    rows = Ragged.from_rows([[2, 3, i // 50, i % 50] for i in range(1000)])
    device, pad_batch = EmulatedDevice(), engine_base.pad_batch
    engine = TorchEngine(SleepingModel(device, 0.04), 128, "fp32", "cpu")
    device.attach(engine)

    def slow_pad_batch(*arguments):
        time.sleep(0.02)
        return pad_batch(*arguments)

    monkeypatch.setattr(engine_base, "pad_batch", slow_pad_batch)
    with device.running():
        engine.probabilities(rows)  # the first call pays for imports
        device.busy_seconds = 0.0
        began = time.perf_counter()
        engine.probabilities(rows)
        seconds = time.perf_counter() - began
    assert not device.waits
    assert device.busy_seconds > 1
    assert seconds < 1.05 * device.busy_seconds


def test_exhausted_memory_halves_the_budget_of_the_whole_run_and_is_logged_once(ids, monkeypatch, caplog):
    engine = engine_of("bert", 2048)
    expected, forward, sizes = engine.probabilities(ids), engine.model.forward, []

    def small_device(input_ids, **rest):
        sizes.append(input_ids.numel())
        if input_ids.numel() > 60:
            raise torch.OutOfMemoryError("out of memory")
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(engine.model, "forward", small_device)
    with caplog.at_level(logging.WARNING):
        np.testing.assert_allclose(engine.probabilities(ids), expected, atol=1e-6)
        halvings = engine.stats.oom_backoffs
        assert halvings > 1 and engine.max_batch_tokens == 2048 >> halvings
        sizes.clear()
        engine.probabilities(ids)
    assert max(sizes) <= 60 and engine.stats.oom_backoffs == halvings
    assert len(caplog.records) == 1 and "token budget" in caplog.text


def test_a_row_that_does_not_fit_is_an_error(ids, monkeypatch):
    engine = engine_of("bert", 512)

    def full_device(**inputs):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(engine.model, "forward", full_device)
    with pytest.raises(torch.OutOfMemoryError):
        engine.probabilities(ids)


def test_prefetched_items_keep_their_order_and_an_error_comes_in_its_place():
    def invert(x):
        return 1 / x

    results = prefetch.prefetched(invert, [1, 2, 4, 0, 5])
    assert [next(results), next(results), next(results)] == [1, 0.5, 0.25]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert list(prefetch.prefetched(invert, [])) == []


def test_one_late_takes_the_next_item_first():
    taken = []
    items = prefetch.one_late(taken.append(i) or i for i in range(3))
    assert (next(items), list(taken)) == (0, [0, 1])
    assert (list(items), taken) == ([1, 2], [0, 1, 2])
