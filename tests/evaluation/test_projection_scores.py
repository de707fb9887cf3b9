"""Target files of a projection: CoNLL with or without tags, and plain text."""

import pytest

from xner_ray.errors import UserError
from xner_ray.evaluation.projection_scores import is_plain_text, read_target


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_tagged_file_has_text_words_and_tags(tmp_path):
    target = read_target(write(tmp_path, "t.conll", "Bonn\tB-GPE\n.\tO\n\nJa\tO\n"), "de", {"GPE": "LOC"})
    assert [(t.text, t.tokens, t.tags) for t in target] == [
        ("Bonn.", ["Bonn", "."], ["B-LOC", "O"]),
        ("Ja", ["Ja"], ["O"]),
    ]
    assert target[0].spans == [(0, 4), (4, 5)]


def test_a_file_of_tokens_has_no_tags(tmp_path):
    target = read_target(write(tmp_path, "t.conll", "北\n京\n\n好\n"), "zh")
    assert [(t.text, t.spans, t.tags) for t in target] == [("北京", [(0, 1), (1, 2)], None), ("好", [(0, 1)], None)]


def test_each_line_of_a_text_file_is_a_sentence(tmp_path):
    target = read_target(write(tmp_path, "t.txt", "In Bonn, ja.\n\nNein\n"), "de")
    assert [t.tokens for t in target] == [["In", "Bonn", ",", "ja", "."], [], ["Nein"]]
    assert [t.text for t in target] == ["In Bonn, ja.", "", "Nein"]
    assert all(t.text[a:b] == token for t in target for token, (a, b) in zip(t.tokens, t.spans, strict=True))


@pytest.mark.parametrize(
    ("name", "text", "sentences", "plain"),
    [
        ("x.de", "In Bonn, ja.\nNein\n", None, True),
        ("x.de", "Ja\nNein\n", 2, True),  # as many lines as the source has sentences
        ("x.zh", "北京很大。\n\n好\n", 3, True),
        ("x.de", "In\tO\nBonn\tB-LOC\n\n", 1, False),
        ("x.de", "In O\nBonn B-LOC\n\nJa O\n", 2, False),
        ("train.txt", "In\tO\nBonn\tB-LOC\n\n", 1, False),
        ("x.de", "In\nBonn\n\nJa\n\n", 2, False),
        ("x.conll", "Ja\nNein\n", 2, False),
        ("de", "Wir O und ihr\nIn Bonn\n", None, True),
    ],
)
def test_plain_text_is_recognized_by_content(tmp_path, name, text, sentences, plain):
    assert is_plain_text(write(tmp_path, name, text), sentences) == plain


def test_tags_on_some_lines_are_an_error(tmp_path):
    path = write(tmp_path, "t.conll", "a\tO\n\nb\nc\tO\n")
    with pytest.raises(UserError, match="some lines only") as error:
        read_target(path, "de")
    assert (error.value.file, error.value.line) == (path, 3)


@pytest.mark.parametrize("name", ["t.txt", "t.conll"])
def test_a_file_without_a_sentence_is_an_error(tmp_path, name):
    with pytest.raises(UserError, match="no sentence"):
        read_target(write(tmp_path, name, ""), "de")
