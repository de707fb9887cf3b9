"""Texts and small engines with random heads that several tests of this folder use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from xner_ray.encoders.load import load_model
from xner_ray.encoders.ragged import Ragged
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine


@dataclass
class EncodedTexts:
    """An engine, its tokenizer, and the token ids of texts with special tokens."""

    engine: TorchEngine
    tokenizer: Tokenizer
    ids: Ragged


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """40 random sentences, and one sentence twice."""
    random = np.random.default_rng(0)
    words = ["anna", "lebt", "in", "wien", "und", "arbeitet", "bei", "nordwind", "北京", "ist", "weit"]
    return [" ".join(random.choice(words, size=n)) for n in random.integers(1, 14, size=40)] + ["anna", "anna"]


@pytest.fixture(scope="module")
def encode():
    """A function: folder, texts and settings of the engine to EncodedTexts. The head's weights are the same in each call."""

    def encode(folder, texts, **settings) -> EncodedTexts:
        torch.manual_seed(0)
        engine = TorchEngine(load_model(folder, ["O", "B-PER", "I-PER"]), device="cpu", **settings)
        tokenizer = Tokenizer(folder)
        return EncodedTexts(engine, tokenizer, tokenizer.with_special_tokens(tokenizer(texts).ids))

    return encode
