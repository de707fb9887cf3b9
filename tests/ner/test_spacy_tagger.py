"""A spaCy pipeline as the teacher: its entities are mapped to given words and normalized types."""

import json
import shutil

import pytest

from xner_ray.encoders.load import load_model, load_tokenizer
from xner_ray.errors import UserError
from xner_ray.ner.external_teacher import adopt_model, hash_model, original_labels, resolve_model
from xner_ray.ner.tagger import open_named_tagger, open_tagger
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.words import tokenize_words

spacy = pytest.importorskip("spacy")
TEXTS = ["Anna Keller lives in Wien, near Wien's park.", "", "Nobody."]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline with a component `ner` that is trained on TEXTS."""
    from spacy.training import Example

    nlp = spacy.blank("en")
    nlp.add_pipe("ner")
    spans = [(0, 11, "PERSON"), (21, 25, "GPE"), (32, 36, "GPE")]
    examples = [
        Example.from_dict(nlp.make_doc(TEXTS[0]), {"entities": spans}),
        Example.from_dict(nlp.make_doc(TEXTS[2]), {"entities": []}),  # without the key they count as unknown
    ]
    spacy.util.fix_random_seed(1)
    nlp.initialize(lambda: examples)
    for _ in range(30):
        nlp.update(examples)
    folder = tmp_path_factory.mktemp("pipeline") / "en"
    nlp.to_disk(folder)
    return folder


def test_entities_are_mapped_to_words_and_types(pipeline, tmp_path):
    source = resolve_model(f"spacy:{pipeline}")
    assert sorted(original_labels(source)) == ["GPE", "PERSON"]
    folder = adopt_model(source, tmp_path / "model", {"PERSON": "PER", "GPE": "LOC"}, ())
    tagger = open_tagger(folder)
    assert tagger.tag(TEXTS, "en") == [[(0, 11, "PER", 1.0), (21, 25, "LOC", 1.0), (32, 36, "LOC", 1.0)], [], []]
    spans = [tokenize_words(t, "en") for t in TEXTS]
    assert tagger.predict_tags(list(zip(TEXTS, spans, strict=True)))[0][0][:2] == ["B-PER", "I-PER"]
    assert not len(tagger.predict_spans([], WordSpans.from_lists([])))


def test_a_dropped_type_is_not_predicted(pipeline, tmp_path):
    folder = adopt_model(
        resolve_model(f"spacy:{pipeline}"), tmp_path / "model", {"PERSON": "PER", "GPE": "LOC"}, ("LOC",)
    )
    assert open_tagger(folder).tag(TEXTS[:1], "en") == [[(0, 11, "PER", 1.0)]]
    other = adopt_model(resolve_model(f"spacy:{pipeline}"), tmp_path / "other", {"PERSON": "PER", "GPE": "LOC"}, ())
    assert hash_model(folder) != hash_model(other)


def test_missing_pipeline_or_component_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no_such_pipeline") as error:
        resolve_model("spacy:no_such_pipeline")
    assert error.value.key == "teacher.model" and "spacy download no_such_pipeline" in error.value.remedy
    nlp = spacy.blank("en")
    nlp.to_disk(tmp_path / "blank")
    with pytest.raises(UserError, match="no component `ner`"):
        original_labels(resolve_model(f"spacy:{tmp_path / 'blank'}"))


def test_a_pipeline_is_loaded_only_where_the_user_named_it(pipeline, tiny_encoder, tmp_path):
    types = {"PERSON": "PER", "GPE": "LOC"}
    folder = adopt_model(resolve_model(f"spacy:{pipeline}"), tmp_path / "adopted", types, ())
    with pytest.raises(UserError, match="may run code") as error:
        open_named_tagger(str(folder))
    assert error.value.file == str(folder) and error.value.remedy.endswith(f"spacy:{folder}")
    assert open_named_tagger(f"spacy:{folder}").tag(TEXTS[:1], "en")[0]
    # A model folder that brings a pipeline of its own is a model, and its claim to be a pipeline is an error.
    model = tmp_path / "model"
    load_model(tiny_encoder, ["O", "B-PER", "I-PER"]).save_pretrained(model)
    load_tokenizer(tiny_encoder).save_pretrained(model)
    shutil.copytree(pipeline, model, dirs_exist_ok=True)
    shutil.copytree(pipeline, model / "spacy")
    assert original_labels(resolve_model(str(model))) == ["O", "B-PER", "I-PER"]
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "xner_spacy": types}))
    with pytest.raises(UserError) as error:
        resolve_model(str(model))
    assert error.value.key == "xner_spacy"
