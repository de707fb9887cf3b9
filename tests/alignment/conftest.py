import shutil
from pathlib import Path

import pytest
import torch

from xner_ray.encoders.testing.tiny import make_tiny_encoder
from xner_ray.encoders.tokenizer import Tokenizer
from xner_ray.encoders.torch_engine import TorchEngine


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with an encoder of random weights and a tokenizer of letters."""
    return make_tiny_encoder(tmp_path_factory.mktemp("align") / "tiny")


@pytest.fixture(scope="session")
def tokenizer(tiny):
    return Tokenizer(str(tiny))


@pytest.fixture
def engine(tiny):
    """A token classifier of random weights with the aligner's labels."""
    from xner_ray.alignment.projector import LABELS
    from xner_ray.encoders.load import load_model

    torch.manual_seed(3)
    return TorchEngine(load_model(tiny, LABELS), 512, "fp32", "cpu")


@pytest.fixture
def folder(tmp_path, engine, tokenizer):
    """A trained aligner's folder, but for the training."""
    from xner_ray.alignment.decoding import Decoding
    from xner_ray.alignment.projector_file import save_projector

    engine.model.save_pretrained(tmp_path / "model")
    for file in Path(tokenizer.folder).glob("tokenizer*"):
        shutil.copy(file, tmp_path / "model")
    save_projector(tmp_path / "model", Decoding(0.3), languages=["de"])
    return tmp_path / "model"
