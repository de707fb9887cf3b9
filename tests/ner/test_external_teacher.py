"""An adopted model gives the probabilities of the original model, under normalized labels, and is decoded as it is."""

import json
import shutil

import numpy as np
import pytest
import torch

from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.encoders.model_languages import store_languages
from xner_ray.errors import UserError
from xner_ray.ner.external_teacher import adopt_model, hash_model, original_labels, resolve_model, teacher_types
from xner_ray.ner.tagger import Tagger, open_tagger
from xner_ray.text.tags import label_list

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


@pytest.fixture(scope="module")
def doubtful(tiny_encoder, tmp_path_factory):
    """The folder of a model with sorted BIO2 labels that gives each word O 0.48, B-LOC 0.01 and I-LOC 0.51."""
    folder = tmp_path_factory.mktemp("doubtful")
    model = load_model(tiny_encoder, label_list(["LOC"]))
    model.classifier.weight.data.zero_()
    model.classifier.bias.data = torch.log(torch.tensor([0.48, 0.01, 0.51]))
    model.save_pretrained(folder)
    load_tokenizer(tiny_encoder).save_pretrained(folder)
    return folder


def is_found(folder):
    return open_tagger(folder, precision="fp32").tag(["Bonn"], "de") != [[]]


@pytest.mark.parametrize("by", ["languages", "training.json"])
def test_origin_and_not_the_names_of_labels_decides_how_a_model_is_decoded(doubtful, tmp_path, by):
    """In BIO2 an I-LOC at the begin is illegal, so O is best. In IOB1 it is an entity."""
    assert is_found(doubtful), "a model from elsewhere may follow IOB1"
    assert is_found(adopt_model(doubtful, tmp_path / "foreign", {}, (), ["en"]))
    ours = tmp_path / "ours"
    shutil.copytree(doubtful, ours)
    if by == "languages":
        store_languages(ours, ["en"])
    else:
        (ours / "training.json").write_text("{}")
    adopted = adopt_model(ours, tmp_path / "adopted", {"LOC": "GPE"}, (), ["en"])
    again = adopt_model(adopted, tmp_path / "again", {}, ())
    assert not any(map(is_found, (ours, adopted, again)))
    assert open_tagger(adopted).types == ["GPE"]
    # With a map that makes another scheme of the labels, none is stored.
    broken = adopt_model(adopted, tmp_path / "broken", {"B-LOC": "I-LOC"}, ())
    assert is_found(broken) and "xner_scheme" not in json.loads((broken / "config.json").read_text())


def test_a_model_without_a_head_is_an_error(tiny_encoder):
    with pytest.raises(UserError, match="holds no tagger") as error:
        resolve_model(str(tiny_encoder))
    assert error.value.key == "teacher.model" and error.value.file == tiny_encoder
