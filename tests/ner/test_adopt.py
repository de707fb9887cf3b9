"""A checkpoint with its own label names labels as it did before it was adopted."""

import numpy as np
import pytest

from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.external_teacher import adopt_model, hash_model, original_labels, resolve_model
from xner_ray.ner.tagger import Tagger, open_tagger

OWN = ["B-PERSON", "I-PERSON", "B-GPE", "I-GPE", "B-FAC", "I-FAC", "O"]
TEXTS = ["Anna Keller wohnt in Wien.", "", "München"]


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    load_model(tiny_encoder, OWN).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    return folder


def test_probabilities_of_labels_that_mean_the_same_add_up(checkpoint, tmp_path):
    folder = adopt_model(
        resolve_model(str(checkpoint)), tmp_path / "model", {"PERSON": "PER", "GPE": "LOC", "FAC": "LOC"}, ()
    )
    ours, theirs = open_tagger(folder), Tagger.load(checkpoint)
    assert ours.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    tokens = ours.tokenizer(TEXTS)
    mine, own = ours.probabilities(tokens), theirs.probabilities(tokens)
    assert np.allclose(mine[:, 1], own[:, 2] + own[:, 4], atol=1e-6) and np.allclose(mine[:, 0], own[:, 6], atol=1e-6)
    assert len(ours.tag(TEXTS, "de")) == len(TEXTS)


def test_identity_follows_the_map(checkpoint, tmp_path):
    one = adopt_model(checkpoint, tmp_path / "one", {"PERSON": "PER"}, ())
    two = adopt_model(checkpoint, tmp_path / "two", {"PERSON": "PER"}, ("GPE",))
    assert len({hash_model(checkpoint), hash_model(one), hash_model(two)}) == 3
    assert original_labels(checkpoint) == OWN


def test_what_is_no_tagger(tiny_encoder):
    with pytest.raises(UserError, match="holds no tagger"):
        resolve_model(str(tiny_encoder))
