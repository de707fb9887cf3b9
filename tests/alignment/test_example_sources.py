import numpy as np
import pytest

from xner_ray.alignment.examples.example import Example
from xner_ray.alignment.examples.example_sources import (
    Lexicon,
    lexicon_examples,
    read_examples_file,
    read_lexicon,
    translator_examples,
)
from xner_ray.alignment.examples.noun_phrases import capitalized_spans, noun_phrases
from xner_ray.alignment.examples.translated_phrases import translated_phrases
from xner_ray.alignment.examples.translator import Translator
from xner_ray.errors import UserError


def test_lines_with_the_same_name_and_sentence_are_one_example(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("Rome\tRom und Rom\t8\t11\n\nRome\tRom und Rom\t0\t3\nAnn\tAnna\t0\t4\n", encoding="utf-8")
    assert read_examples_file(file, "de") == [
        Example("Rome", "Rom und Rom", ((0, 3), (8, 11)), "de", "pairs"), Example("Ann", "Anna", ((0, 4),), "de", "pairs"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("Rome\tRom\t0", "3 columns"),
        ("Rome\tRom\t0\tx", "not offsets"),
        ("Rome\tRom\t0\t4", "does not fit"),
        ("Rome\tRom\t2\t2", "does not fit"),
        (" \tRom\t0\t3", "empty name"),
    ],
)
def test_an_error_in_the_examples_file_has_file_line_and_remedy(tmp_path, line, problem):
    file = tmp_path / "pairs.tsv"
    file.write_text(f"Ann\tAnna\t0\t4\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=problem) as e:
        read_examples_file(file, "de")
    assert (e.value.file, e.value.line) == (file, 2) and e.value.remedy


def test_an_error_in_the_lexicon_has_file_and_line(tmp_path):
    file = tmp_path / "lexicon.tsv"
    file.write_text("Rome\tRom\n", encoding="utf-8")
    assert read_lexicon(file) == [("Rome", "Rom")]
    file.write_text("Rome\tRom\nParis\n", encoding="utf-8")
    with pytest.raises(UserError) as e:
        read_lexicon(file)
    assert (e.value.file, e.value.line) == (file, 2)


def test_a_lexicon_finds_whole_words_longest_first():
    lexicon = Lexicon([("Guinea", "Guinea"), ("Papua New Guinea", "Papua Neuguinea"), ("Papua", "Papua")], "de")
    assert list(lexicon.find("Papua Neuguinea und Papua, Guineas Papua")) == [
        ("Papua New Guinea", (0, 15)),
        ("Papua", (20, 25)),
        ("Papua", (35, 40)),
    ]
    assert list(Lexicon([("Germany", "德国")], "zh").find("他在德国。")) == [("Germany", (2, 4))]
    assert list(Lexicon([("China", "中国")], "zh").find("中国银行在中国")) == [("China", (5, 7))]


def test_the_source_must_contain_the_source_name():
    lexicon = Lexicon([("Chad", "Tschad"), ("Mali", "Mali")], "de")
    sources, targets = ["He left Chad.", "He left it."], ["Tschad und Mali, Tschad", "Er verließ Mali."]
    expected = Example("Chad", targets[0], ((0, 6), (17, 23)), "de", "lexicon", source_text=sources[0])
    assert list(lexicon_examples(lexicon, sources, targets)) == [expected]


def test_a_translator_gets_each_distinct_name_once():
    calls = []

    def translate(texts):
        calls.extend(texts)
        return [{"Rom": "Rome ", "X": ""}[t] for t in texts]

    sources, targets = ["Rome and Rome", "X", "Rome"], ["Rom und Rom", "X", "Rom"]
    examples = list(translator_examples([[(0, 3), (8, 11)], [(0, 1)], []], sources, targets, translate, "de"))
    assert calls == ["Rom", "X"]
    assert examples == [
        Example("Rome", "Rom und Rom", ((0, 3), (8, 11)), "de", "translator", source_text="Rome and Rome")
    ]


def test_mentions_with_one_translation_are_one_example():
    names = {"Berlin": "Berlin", "Berlins": "Berlin", "Rom": "Rome"}
    target = "Berlin und Berlins Mauer, Rom"
    mentions = [[(0, 6, "LOC", 0.9), (11, 18, "LOC", 0.8), (26, 29, "LOC", 0.7)]]
    examples = list(translator_examples(mentions, ["s"], [target], lambda texts: [names[t] for t in texts], "de"))
    assert examples == [
        Example("Berlin", target, ((0, 6), (11, 18)), "de", "translator", "LOC", "s"),
        Example("Rome", target, ((26, 29),), "de", "translator", "LOC", "s"),
    ]


def test_noun_phrases_and_nominals_are_runs_whose_translation_is_a_phrase_of_the_source():
    names = {"neue Regierung": "new government", "Regierung": "Government.", "sagte": "said that", "Anna": "Anna"}
    source, target = "The new government of Anna said so", "Die neue Regierung von Anna sagte es"
    texts = []

    def translate(runs):
        texts.extend(runs)
        return [names.get(run, "the " + run) for run in runs]

    found = set()
    for seed in range(80):
        random = np.random.default_rng(seed)
        examples = translated_phrases([[(23, 27, "PER")]], [source], [target], translate, "de", "en", 2, random)
        found |= {(e.name, target[slice(*e.spans[0])], e.kind) for e in examples}
    assert found == {("new government", "neue Regierung", "phrase"), ("government", "Regierung", "phrase")}
    assert "Anna" not in texts and not any("Anna" in text for text in texts)  # a mention is no phrase
    assert translated_phrases([[]], [source], [target], translate, "de", "en", 0, np.random.default_rng(0)) == []


def test_a_seq2seq_folder_translates(tmp_path, tiny):
    import shutil

    from transformers import BartConfig, BartForConditionalGeneration

    sizes = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("layers", 1), ("ffn_dim", 16))}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 64}
    config = BartConfig(
        vocab_size=9000, d_model=16, decoder_start_token_id=2, forced_eos_token_id=None, **sizes, **heads
    )
    BartForConditionalGeneration(config).save_pretrained(tmp_path)
    for file in tiny.glob("tokenizer*"):
        shutil.copy(file, tmp_path)
    names = Translator(str(tmp_path), max_tokens=5).between("de", "en")(["Rom", "Berlin-Mitte", "Ulm"])
    assert len(names) == 3 and all(isinstance(n, str) for n in names)


def test_a_folder_without_a_translator_is_an_error(tiny):
    with pytest.raises(UserError, match="no seq2seq model"):
        Translator(str(tiny))


def test_phrases_start_and_end_with_content_words():
    text = "The Ministry of the Interior said that 3 new rules, which apply, are clear."
    phrases = {text[a:b] for a, b in noun_phrases(text, "en")}
    assert {"Ministry", "Ministry of the Interior", "new rules", "rules", "apply", "clear"} <= phrases
    assert not any(p.startswith(("The", "of", "3")) or p.endswith(("the", "of", ",")) for p in phrases)
    assert all(len(p.split()) <= 8 for p in phrases)
    assert [text[a:b] for a, b in capitalized_spans(text, "en")] == ["Ministry", "Interior"]
    assert noun_phrases("", "en") == capitalized_spans("", "en") == []
