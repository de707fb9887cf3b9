"""The engine equals a plain loop over rows, with any token budget, and survives exhausted memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from xner_ray.encoders.device_errors import NoGpuError
from xner_ray.encoders.engine_base import deduplicate_rows
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.torch_engine import TorchEngine


def test_deduplicate_rows():
    first, inverse = deduplicate_rows(Ragged.from_rows([[1, 2], [3], [1, 2], [1], [3]]))
    assert first.tolist() == [0, 1, 3]
    assert inverse.tolist() == [0, 1, 0, 2, 1]


def test_engine_equals_a_plain_loop(tiny_encoder, texts, encode):
    encoded = encode(tiny_encoder, texts, max_batch_tokens=100, precision="fp32")
    engine, ids = encoded.engine, encoded.ids
    probabilities = engine.probabilities(ids)
    with torch.no_grad():
        expected = [
            engine.model(torch.from_numpy(ids[i].astype(np.int64))[None]).logits[0].softmax(-1)
            for i in range(len(ids))
        ]
    assert np.allclose(probabilities, torch.cat(expected).numpy(), atol=1e-5)
    assert engine.stats.repeated_rows >= 1
    assert engine.stats.tokens <= engine.stats.padded_tokens


def test_budget_does_not_change_results(tiny_encoder, texts, encode):
    encoded = encode(tiny_encoder, texts, max_batch_tokens=64, precision="fp32")
    small_batches = encoded.engine.probabilities(encoded.ids)
    encoded.engine.max_batch_tokens = 4096
    assert np.allclose(small_batches, encoded.engine.probabilities(encoded.ids), atol=1e-5)


def test_half_precision_is_close(tiny_encoder, texts, encode):
    fp32, bf16 = (encode(tiny_encoder, texts, precision=precision) for precision in ("fp32", "bf16"))
    difference = fp32.engine.probabilities(fp32.ids) - bf16.engine.probabilities(bf16.ids)
    assert np.abs(difference).max() < 0.02


EXHAUSTED = [
    torch.OutOfMemoryError("out of memory"),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", EXHAUSTED)
def test_out_of_memory_halves_the_budget(tiny_encoder, texts, encode, monkeypatch, error):
    encoded = encode(tiny_encoder, texts, max_batch_tokens=512, precision="fp32")
    engine = encoded.engine
    expected, forward = engine.probabilities(encoded.ids), engine.model.forward

    def small_device(input_ids, **rest):
        if input_ids.numel() > 130:
            raise error
        return forward(input_ids=input_ids, **rest)

    monkeypatch.setattr(engine.model, "forward", small_device)
    assert np.allclose(engine.probabilities(encoded.ids), expected, atol=1e-5)
    assert engine.stats.oom_backoffs == 2


def test_other_errors_of_the_device_do_not_change_the_budget(tiny_encoder, texts, encode, monkeypatch):
    encoded = encode(tiny_encoder, texts, max_batch_tokens=512, precision="fp32")

    def lost_device(**inputs):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(encoded.engine.model, "forward", lost_device)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        encoded.engine.probabilities(encoded.ids)
    assert encoded.engine.max_batch_tokens == 512


def test_a_missing_gpu_is_not_replaced_by_the_cpu(tiny_encoder, encode, monkeypatch):
    model = encode(tiny_encoder, ["anna"], precision="fp32").engine.model
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NoGpuError):
        TorchEngine(model, device="cuda")
    assert TorchEngine(model).device.type == "cpu"


def nan_below_fp32(engine, monkeypatch):
    """Let the model give NaN in each precision but fp32."""
    forward = engine.model.forward

    def overflowing(**inputs):
        out = forward(**inputs)
        return out if out.logits.dtype == torch.float32 else replace(out, logits=out.logits * torch.nan)

    monkeypatch.setattr(engine.model, "forward", overflowing)


def test_values_that_are_not_finite_are_computed_again_in_fp32(tiny_encoder, texts, encode, monkeypatch):
    encoded = encode(tiny_encoder, texts, precision="bf16")
    expected = encode(tiny_encoder, texts, precision="fp32").engine.probabilities(encoded.ids)
    engine = encoded.engine
    nan_below_fp32(engine, monkeypatch)
    assert np.allclose(engine.probabilities(encoded.ids), expected, atol=0.02)
    assert engine.stats.fp32_repeats == 1
    assert {p.dtype for p in engine.model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_values_that_stay_not_finite_are_an_error(tiny_encoder, encode, precision):
    encoded = encode(tiny_encoder, ["anna"], precision=precision)
    with torch.no_grad():
        encoded.engine.model.classifier.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        encoded.engine.probabilities(encoded.ids)


def test_a_row_longer_than_the_model_is_an_error(tiny_encoder, encode):
    engine = encode(tiny_encoder, ["anna"], precision="fp32").engine
    with pytest.raises(ValueError, match="200 tokens"):
        engine.probabilities(Ragged.from_rows([[5] * 200]))
