"""Labels of other taggers: every scheme, every way to be wrong."""

import pytest

from xner_ray.errors import UserError
from xner_ray.ner.label_normalizer import our_labels


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
    assert our_labels(own, label_map, without) == ours


@pytest.mark.parametrize(
    ("own", "label_map", "problem"),
    [
        (["O", "B-PER"], {"PERSON": "PER"}, "no type `PERSON`"),
        (["LABEL_0", "LABEL_1"], {"LABEL_0": "O"}, "`LABEL_1` has no meaning"),
        (["O", "B-PER"], {"PER": "O"}, "nothing is left"),
    ],
)
def test_maps_that_are_wrong(own, label_map, problem):
    with pytest.raises(UserError, match=problem):
        our_labels(own, label_map)
