"""Labels of every scheme are normalized to O, B-X and I-X, and wrong label maps are errors."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.ner.decoding import decode_entities, decode_word_labels
from xner_ray.ner.label_normalizer import model_labels, normalize_labels, output_labels
from xner_ray.ner.tagger import _labels_and_projection
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.tags import spans_to_bio2


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
        (["B-PER", "M-PER", "E-PER", "S-PER", "O"], {}, (), ["B-PER", "I-PER", "I-PER", "B-PER", "O"]),  # BMES
        (["O", "B-PER", "E-PER"], {}, (), ["O", "B-PER", "I-PER"]),  # B and E without I
        (["PER-B", "PER-I", "O"], {"PER": "PERSON"}, (), ["B-PERSON", "I-PERSON", "O"]),
        (["B-O", "I-O", "B-PER", "I-PER"], {}, (), ["O", "O", "B-PER", "I-PER"]),  # transformers issue 30028
        (["o", "b-per", "i-per"], {}, (), ["O", "B-per", "I-per"]),
        (["O", "BPER", "IPER"], {}, (), ["O", "B-PER", "I-PER"]),
        (
            ["[PAD]", "O", "B-city", "I-city", "S-city", "X", "[CLS]"],
            {},
            (),
            [*"OO", "B-city", "I-city", "B-city", *"OO"],
        ),
        (["O", "B-X", "I-X"], {}, (), ["O", "B-X", "I-X"]),
        (["O", "PERSON", "E-MAIL", "X"], {}, (), ["O", "I-PERSON", "I-E-MAIL", "I-X"]),  # IO: no positions
        (["O", "B-PER", "I-PER", "DATE"], {}, (), ["O", "B-PER", "I-PER", "I-DATE"]),
        (["O", "B\u2013PER", "I\u2013PER"], {}, (), ["O", "B-PER", "I-PER"]),  # an en dash
        (["O", "B PER", "I PER", "B LOC"], {}, (), ["O", "B-PER", "I-PER", "B-LOC"]),
        (["B", "I", "O"], {"B": "B-KEY", "I": "I-KEY"}, (), ["B-KEY", "I-KEY", "O"]),
        (["O", "B-S", "I-S", "B-E"], {}, (), ["O", "B-S", "I-S", "B-E"]),  # types of one letter
    ],
)
def test_labels_of_every_scheme_are_normalized(labels, label_map, drop_types, normalized):
    assert normalize_labels(labels, label_map, drop_types) == normalized


@pytest.mark.parametrize(
    ("labels", "label_map", "named", "remedy"),
    [
        (["O", "B-PER"], {"PERSON": "PER"}, "`PERSON`", "its types are PER"),
        (["LABEL_0", "LABEL_1"], {"LABEL_0": "O"}, "`LABEL_1`", "{LABEL_1: B-PER}"),
        (["O", "LABEL_7"], {}, "O, LABEL_7", "{LABEL_7: B-PER}"),
        (["0", "1"], {}, "`0`", "{0: B-PER}"),
        (["NOUN", "VERB"], {}, "NOUN, VERB", "{NOUN: O}"),
        (["O", "B-PER", "I-PER", "S-CLASS", "DATE"], {}, "`S-CLASS` may be", "{S-CLASS: B-TYPE}"),
        (["O", "B-PER"], {"PER": "O"}, "every label", "keep at least one"),
        (["B", "I", "O"], {}, "`B` names no entity type", "{B: B-PER}"),
        (["O", "B-PER", "PER-I"], {}, "different sides", "{PER-I: I-TYPE}"),
    ],
)
def test_wrong_label_map_is_an_error_with_key_and_remedy(labels, label_map, named, remedy):
    with pytest.raises(UserError, match=named) as error:
        normalize_labels(labels, label_map)
    assert error.value.key == "teacher.label_map" and remedy in error.value.remedy


def test_model_labels_are_in_the_order_of_their_ids():
    assert model_labels({"id2label": {"1": "B-PER", "0": "O"}}) == ["O", "B-PER"]
    assert model_labels({}) == []


def test_labels_of_a_folder_that_cannot_be_understood_are_an_error_with_the_list(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}))
    with pytest.raises(UserError, match="LABEL_0, LABEL_1") as error:
        output_labels(tmp_path)
    assert (error.value.file, error.value.key) == (tmp_path / "config.json", "id2label")
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "O", "1": "B-PER"}}))  # the remedy works
    assert output_labels(tmp_path) == ["O", "B-PER"]


# From the place of a word in its entity (begin, inside, end, single) to the positions of a scheme.
SCHEMES = {"bio": "BIIB", "iobes": "BIES", "bilou": "BILU", "bmes": "BMES", "bmewo": "BMEW"}
TYPES = ("PER", "LOC")


def label_of(place, kind, scheme, style):
    label = f"{SCHEMES[scheme][place]}-{kind}" if style != "suffix" else f"{kind}_{SCHEMES[scheme][place]}"
    return label.lower() if style == "lower" else label


@st.composite
def tagged(draw):
    """The length of a sentence, and spans in it."""
    spans, at = [], draw(st.integers(0, 2))
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(1, 4))
        spans.append((at, at + size, draw(st.sampled_from(TYPES))))
        at += size + draw(st.integers(0, 2))
    return at + 1, spans


@given(tagged(), st.sampled_from(list(SCHEMES)), st.sampled_from(["prefix", "suffix", "lower"]), st.randoms())
def test_all_schemes_styles_and_orders_give_the_same_entities(tmp_path_factory, sentence, scheme, style, random):
    length, spans = sentence
    labels = ["O", *{label_of(place, kind, scheme, style): 0 for kind in TYPES for place in range(4)}]
    random.shuffle(labels)
    names = ["O"] * length
    for start, end, kind in spans:
        for i in range(start, end):
            place = 3 if end - start == 1 else 0 if i == start else 2 if i == end - 1 else 1
            names[i] = label_of(place, kind, scheme, style)
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(labels))}))
    normalized, projection = _labels_and_projection(folder)
    probabilities = np.eye(len(labels), dtype=np.float32)[[labels.index(x) for x in names]]
    probabilities = probabilities if projection is None else probabilities @ projection
    words = WordSpans.from_lists([[(i, i + 1) for i in range(length)]])
    decoded = decode_entities(
        *decode_word_labels(probabilities, np.arange(length), words.rows, normalized), words, normalized
    )
    expected = [(a, b, kind.lower() if style == "lower" else kind) for a, b, kind in spans]
    assert decoded.to_bio2(words) == [spans_to_bio2(expected, length)]
