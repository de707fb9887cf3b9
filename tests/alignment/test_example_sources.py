import pytest

from xner_ray.alignment.examples.example_sources import (
    Lexicon,
    from_lexicon,
    from_translator,
    load_translator,
    read_lexicon,
    read_pairs,
)
from xner_ray.alignment.examples.noun_phrases import capitalized_spans, noun_phrases
from xner_ray.errors import UserError


def test_pairs_of_one_name_and_sentence_are_one_example(tmp_path):
    file = tmp_path / "pairs.tsv"
    file.write_text("Rome\tRom und Rom\t8\t11\n\nRome\tRom und Rom\t0\t3\nAnn\tAnna\t0\t4\n", encoding="utf-8")
    assert read_pairs(file) == [("Rome", "Rom und Rom", [(0, 3), (8, 11)]), ("Ann", "Anna", [(0, 4)])]


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
def test_a_bad_pair_names_file_and_line(tmp_path, line, problem):
    file = tmp_path / "pairs.tsv"
    file.write_text(f"Ann\tAnna\t0\t4\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=problem) as e:
        read_pairs(file)
    assert (e.value.file, e.value.line) == (file, 2) and e.value.remedy


def test_a_bad_lexicon_names_file_and_line(tmp_path):
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


def test_a_hit_counts_only_where_the_source_has_the_name():
    lexicon = Lexicon([("Chad", "Tschad"), ("Mali", "Mali")], "de")
    sources, targets = ["He left Chad.", "He left it."], ["Tschad und Mali, Tschad", "Er verließ Mali."]
    assert list(from_lexicon(lexicon, sources, targets)) == [(0, ("Chad", targets[0], [(0, 6), (17, 23)]))]


def test_a_translator_is_asked_once_a_name():
    asked = []

    def translate(texts):
        asked.extend(texts)
        return [{"Rom": "Rome ", "X": ""}[t] for t in texts]

    found = list(from_translator([[(0, 3), (8, 11)], [(0, 1)], []], ["Rom und Rom", "X", "Rom"], translate))
    assert asked == ["Rom", "X"]
    assert found == [(0, ("Rome", "Rom und Rom", [(0, 3), (8, 11)]))]


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
    names = load_translator(str(tmp_path), longest=5)(["Rom", "Berlin-Mitte", "Ulm"])
    assert len(names) == 3 and all(isinstance(n, str) for n in names)


def test_a_folder_without_a_translator_is_an_error(tiny):
    with pytest.raises(UserError, match="no seq2seq model"):
        load_translator(str(tiny))


def test_phrases_begin_and_end_with_content_words():
    text = "The Ministry of the Interior said that 3 new rules, which apply, are clear."
    found = {text[a:b] for a, b in noun_phrases(text)}
    assert {"Ministry", "Ministry of the Interior", "new rules", "rules", "apply", "clear"} <= found
    assert not any(f.startswith(("The", "of", "3")) or f.endswith(("the", "of", ",")) for f in found)
    assert all(len(f.split()) <= 8 for f in found)
    assert [text[a:b] for a, b in capitalized_spans(text)] == ["Ministry", "Interior"]
    assert noun_phrases("") == capitalized_spans("") == []
