"""Labels of other taggers: every scheme, every way to be wrong."""

import pytest

from xner_ray.errors import UserError
from xner_ray.ner.label_normalizer import normalize_labels


@pytest.mark.parametrize(
    ("own", "label_map", "without", "ours"),
    [
        (["O", "B-PER", "I-PER"], {}, (), ["O", "B-PER", "I-PER"]),
        (["B-LOC", "I-LOC", "O"], {}, (), ["B-LOC", "I-LOC", "O"]),  # O need not be the first
        (["O", "S-PERSON", "B-PERSON", "E-PERSON"], {"PERSON": "PER"}, (), ["O", "B-PER", "B-PER", "I-PER"]),
        (["O", "U-GPE", "L-LOC"], {"GPE": "LOC"}, (), ["O", "B-LOC", "I-LOC"]),
        (["O", "PER", "DATE"], {"DATE": "O"}, (), ["O", "I-PER", "O"]),  # IO
        (["LABEL_0", "LABEL_1"], {"LABEL_0": "O", "LABEL_1": "B-PER"}, (), ["O", "B-PER"]),
        (["O", "B-PER", "B-MISC"], {}, ("MISC",), ["O", "B-PER", "O"]),
        (["O", "B-work_of-art"], {"work_of-art": "MISC"}, (), ["O", "B-MISC"]),
    ],
)
def test_labels_mean(own, label_map, without, ours):
    assert normalize_labels(own, label_map, without) == ours


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
