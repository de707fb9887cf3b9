"""An adopted model gives the probabilities of the original model, under normalized labels."""

import numpy as np
import pytest

from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.external_teacher import adopt_model, hash_model, original_labels, resolve_model, teacher_types
from xner_ray.ner.tagger import Tagger, open_tagger

LABELS = ["B-PERSON", "I-PERSON", "B-GPE", "I-GPE", "B-FAC", "I-FAC", "O"]
TEXTS = ["Anna Keller wohnt in Wien.", "", "München"]


@pytest.fixture(scope="module")
def checkpoint(tiny_encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    load_model(tiny_encoder, LABELS).save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    return folder


def test_probabilities_of_labels_with_the_same_meaning_add_up(checkpoint, tmp_path):
    folder = adopt_model(
        resolve_model(str(checkpoint)), tmp_path / "model", {"PERSON": "PER", "GPE": "LOC", "FAC": "LOC"}, ()
    )
    adopted, original = open_tagger(folder), Tagger.load(checkpoint)
    assert adopted.labels == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    tokens = adopted.tokenizer(TEXTS)
    normalized, own = adopted.probabilities(tokens), original.probabilities(tokens)
    own_gpe, own_fac = (own[:, original.labels.index(label)] for label in ("B-GPE", "B-FAC"))
    assert np.allclose(normalized[:, 1], own_gpe + own_fac, atol=1e-6)
    assert np.allclose(normalized[:, 0], own[:, original.labels.index("O")], atol=1e-6)
    assert len(adopted.tag(TEXTS, "de")) == len(TEXTS)


def test_hash_depends_on_the_label_map(checkpoint, tmp_path):
    one = adopt_model(checkpoint, tmp_path / "one", {"PERSON": "PER"}, ())
    two = adopt_model(checkpoint, tmp_path / "two", {"PERSON": "PER"}, ("GPE",))
    assert len({hash_model(checkpoint), hash_model(one), hash_model(two)}) == 3
    assert teacher_types(one) == ["FAC", "GPE", "PER"] and teacher_types(two) == ["FAC", "PER"]
    assert original_labels(checkpoint) == LABELS


def test_a_model_without_a_head_is_an_error(tiny_encoder):
    with pytest.raises(UserError, match="holds no tagger") as error:
        resolve_model(str(tiny_encoder))
    assert error.value.key == "teacher.model" and error.value.file == tiny_encoder
