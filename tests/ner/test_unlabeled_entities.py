"""Capitalized words without a label are found, except where capitals have another reason."""

import pyarrow as pa

from xner_ray.ner.unlabeled_entities import unlabeled_capitalized

LISTS = pa.list_(pa.string())


def unlabeled(sentence, tags=None, language="es"):
    """The words that `unlabeled_capitalized` finds in the second of two sentences."""
    words = sentence.split()
    tags = tags or ["O"] * len(words)
    mask = unlabeled_capitalized(pa.array([["Hoy"], words], LISTS), pa.array([["O"], tags], LISTS), language)
    first, *rest = mask.to_pylist()
    assert first is False
    return [word for word, found in zip(words, rest, strict=True) if found]


def test_capitalized_words_inside_a_sentence_are_found():
    assert unlabeled("El Gobierno de Madrid , dijo ( EFE ) .") == ["Gobierno", "Madrid", "EFE"]
    assert unlabeled("él Álvarez ñu") == ["Álvarez"]


def test_starts_of_sentences_and_quotations_are_not_found():
    assert unlabeled("Ella dijo : La casa « Casa » .") == []


def test_labeled_words_are_not_found():
    assert unlabeled("Hoy Madrid duerme", ["O", "B-LOC", "O"]) == []


def test_languages_with_capitalized_nouns_and_scripts_without_case():
    assert unlabeled("Das Haus der EU", language="de") == []
    assert unlabeled("中 国 A", language="zh") == ["A"]


def test_no_sentences():
    assert len(unlabeled_capitalized(pa.array([], LISTS), pa.array([], LISTS), "es")) == 0
