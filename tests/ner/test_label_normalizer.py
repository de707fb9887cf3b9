"""Labels of every scheme are normalized to O, B-X and I-X, and wrong label maps are errors."""

import pytest

from xner_ray.errors import UserError
from xner_ray.ner.label_normalizer import model_labels, normalize_labels


@pytest.mark.parametrize(
    ("labels", "label_map", "drop_types", "normalized"),
    [
        (["O", "B-PER", "I-PER"], {}, (), ["O", "B-PER", "I-PER"]),
        (["B-LOC", "I-LOC", "O"], {}, (), ["B-LOC", "I-LOC", "O"]),  # O is not the first label
        (["O", "S-PERSON", "B-PERSON", "E-PERSON"], {"PERSON": "PER"}, (), ["O", "B-PER", "B-PER", "I-PER"]),
        (["O", "U-GPE", "L-LOC"], {"GPE": "LOC"}, (), ["O", "B-LOC", "I-LOC"]),
        (["O", "PER", "DATE"], {"DATE": "O"}, (), ["O", "I-PER", "O"]),  # IO
        (["LABEL_0", "LABEL_1"], {"LABEL_0": "O", "LABEL_1": "B-PER"}, (), ["O", "B-PER"]),
        (["O", "B-PER", "B-MISC"], {}, ("MISC",), ["O", "B-PER", "O"]),
        (["O", "B-work_of-art"], {"work_of-art": "MISC"}, (), ["O", "B-MISC"]),
    ],
)
def test_labels_of_every_scheme_are_normalized(labels, label_map, drop_types, normalized):
    assert normalize_labels(labels, label_map, drop_types) == normalized


@pytest.mark.parametrize(
    ("labels", "label_map", "named", "remedy"),
    [
        (["O", "B-PER"], {"PERSON": "PER"}, "`PERSON`", "its types are PER"),
        (["LABEL_0", "LABEL_1"], {"LABEL_0": "O"}, "`LABEL_1`", "{LABEL_1: B-PER}"),
        (["O", "B-PER"], {"PER": "O"}, "every label", "keep at least one"),
    ],
)
def test_wrong_label_map_is_an_error_with_key_and_remedy(labels, label_map, named, remedy):
    with pytest.raises(UserError, match=named) as error:
        normalize_labels(labels, label_map)
    assert error.value.key == "teacher.label_map" and remedy in error.value.remedy


def test_model_labels_are_in_the_order_of_their_ids():
    assert model_labels({"id2label": {"1": "B-PER", "0": "O"}}) == ["O", "B-PER"]
    assert model_labels({}) == []
