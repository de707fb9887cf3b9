"""The tokenizer of the tiny encoder."""

import pytest

from xner_ray.encoders.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return Tokenizer(str(tiny_encoder), without_transformers=True)
