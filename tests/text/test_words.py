"""The tokenizer: words as in CoNLL in each language, and properties for any text."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.text.words import detokenize, join_tokens, tokenize_words

LANGUAGES = ["en", "de", "es", "nl", "zh", "xx"]


def cut(text: str, language: str) -> str:
    return " ".join(text[a:b] for a, b in tokenize_words(text, language))


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", 'He said: "I don\'t know."', 'He said : " I do n\'t know . "'),
        ("en", "The U.S. and Mr. J. O'Brien's $3,000 (1.5%).", "The U.S. and Mr. J. O'Brien 's $ 3,000 ( 1.5 % ) ."),
        ("en", "1. Michael Johnson (U.S.) 4:08.22", "1. Michael Johnson ( U.S. ) 4:08.22"),
        ("en", "It cost .545 -- or +1... AT&T", "It cost .545 -- or +1 ... AT&T"),
        ("en", "left-wing all-rounder 21/32 and/or", "left-wing all-rounder 21/32 and / or"),
        ("en", "Mail jo.doe@news.com or https://a.org/x?y=1.", "Mail jo.doe@news.com or https://a.org/x?y=1 ."),
        ("de", "Am 17. Dezember siegte der 1.FC mit 2:1.", "Am 17. Dezember siegte der 1.FC mit 2:1 ."),
        ("de", "Mittel- und Osteuropa, z.B. Berlins CDU/CSU.", "Mittel- und Osteuropa , z.B. Berlins CDU / CSU ."),
        ("de", "„Nein“, sagte Dr. Müller am 5.", "„ Nein “ , sagte Dr. Müller am 5 ."),
        ("de", "Wir leben in Berlin.Dann kam er.", "Wir leben in Berlin . Dann kam er ."),
        ("es", "¿Viene el Sr. Pérez (PSOE)? ¡Sí!", "¿ Viene el Sr. Pérez ( PSOE ) ? ¡ Sí !"),
        ("es", "el 9,7 por ciento, 3.321,29 puntos", "el 9,7 por ciento , 3.321,29 puntos"),
        ("nl", "'s Avonds zijn India's auto's zo'n 20.000 euro.", "'s Avonds zijn India's auto's zo'n 20.000 euro ."),
        ("zh", "2008年, KGO 说：“好”。", "2 0 0 8 年 , K G O 说 ： “ 好 ” 。"),
        ("ja", "東京 タワー", "東 京 タ ワ ー"),
        ("he", 'ד"ר כהן גר בארה"ב.', 'ד"ר כהן גר בארה"ב .'),
        ("he", 'קראתי ב"הארץ" וב"ידיעות אחרונות".', 'קראתי ב " הארץ " וב " ידיעות אחרונות " .'),
        ("he", "צה״ל ומנכ״לית", "צה״ל ומנכ״לית"),
        ("hy", "Բարև, աշխարհ։ Ինչո՞ւ՝ այո։", "Բարև , աշխարհ ։ Ինչո՞ւ ՝ այո ։"),
        ("am", "አዲስ አበባ ነው። እሺ፣ ሂድ፤", "አዲስ አበባ ነው ። እሺ ፣ ሂድ ፤"),
        ("bo", "བོད་ལྗོངས་ནི། ལྷ་ས།", "བོད་ ལྗོངས་ ནི ། ལྷ་ ས །"),
        ("fi", "EU:n ja YK:ssa: asia, klo 12:30.", "EU:n ja YK:ssa : asia , klo 12:30 ."),
        ("sv", "USA:s president sade: nej.", "USA:s president sade : nej ."),
        ("hi", "वह है। डॉ॰ राम", "वह है । डॉ॰ राम"),
        ("ar", "١٢٫٥ و ٥٠٪، نعم؟", "١٢٫٥ و ٥٠ ٪ ، نعم ؟"),
        ("th", "กรุงเทพ", "ก รุ ง เท พ"),
        ("km", "ភ្នំពេញ", "ភ្នំ ពេ ញ"),
    ],
)
def test_words_are_as_in_conll(language, text, expected):
    assert cut(text, language) == expected


def test_decomposed_accents_stay_in_the_word():
    assert cut("Jose\u0301 vive", "es") == "Jose\u0301 vive"


WIDTHLESS = "\ufe0f\u2066\u2069\u200e\u00ad\u180e\u061c\u200d\u200c\ufeff\u2060\U000e0100"


@pytest.mark.parametrize("language", ["de", "en", "fr", "fa", "zh", "th", "bo"])
@given(st.text(WIDTHLESS, max_size=3), st.text(WIDTHLESS, max_size=3))
def test_a_character_without_width_is_no_word_and_no_edge_of_one(language, before, after):
    for word in ("Berlin", "👍", "中", "1", "."):
        text = f"{before}{word}{after}"
        assert "".join(text[a:b] for a, b in tokenize_words(text, language)) == word
    assert tokenize_words(before, language) == []


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("fa", "می\u200cخواهم رفت", ["می\u200cخواهم", "رفت"]),
        ("hi", "क्\u200dष है", ["क्\u200dष", "है"]),
        ("de", "Ber\u00adlin\u00ad \u2068Wien\u2069, Köln\u200b", ["Ber\u00adlin", "Wien", ",", "Köln"]),
        ("en", "👨\u200d👩\u200d👧 ❤\ufe0f you", ["👨", "👩", "👧", "❤", "you"]),
        ("ja", "葛\U000e0100城", ["葛", "城"]),
    ],
)
def test_characters_without_width_stay_inside_words(language, text, expected):
    assert [text[a:b] for a, b in tokenize_words(text, language)] == expected


@settings(deadline=None)
@given(st.text(max_size=80) | st.text("aZ1.,'’-/:&@$ \u200b\n(\"", max_size=40), st.sampled_from(LANGUAGES))
def test_spans_are_ordered_and_cover_all_but_gaps(text, language):
    spans = tokenize_words(text, language)
    assert all(a < b for a, b in spans)
    assert all(b <= c for (_, b), (c, _) in pairwise(spans))
    assert not any(c.isspace() for a, b in spans for c in text[a:b])
    edges = [0, *(x for span in spans for x in span), len(text)]
    gaps = "".join(text[a:b] for a, b in zip(edges[::2], edges[1::2], strict=True))
    assert not any(c.isalnum() or c in ".,'’-/:&@$(\"" for c in gaps)


tokens_lists = st.lists(
    st.text("aZ1.,'\"-/:$%“„«»()好", min_size=1, max_size=4) | st.sampled_from(["'s", "n't"]), max_size=12
)


@settings(deadline=None)
@given(tokens_lists, st.sampled_from(LANGUAGES))
def test_joined_texts_have_exact_spans(tokens, language):
    for spelling in (join_tokens, detokenize):
        text, spans = spelling(tokens, language)
        assert [text[a:b] for a, b in spans] == tokens
        assert text.replace(" ", "") == "".join(tokens)


def test_join_tokens_uses_single_spaces():
    assert join_tokens(["Berlin", "."], "de") == ("Berlin .", [(0, 6), (7, 8)])
    assert join_tokens(["北", "京"], "zh") == ("北京", [(0, 1), (1, 2)])


@pytest.mark.parametrize(
    ("language", "tokens", "expected"),
    [
        ("en", "John 's dog ( big ) did n't bark .", "John's dog (big) didn't bark."),
        ("en", '" Yes , " he said : $ 5 and / or 3 %', '"Yes," he said: $5 and/or 3%'),
        ("en", "the players ' union", "the players' union"),
        ("en", "he said ' no ' twice", "he said 'no' twice"),
        ("de", "Er sagte : „ Nein “ , 5 % !", "Er sagte: „Nein“, 5 %!"),
        ("es", "¿ Qué « libro » ?", "¿Qué «libro»?"),
        ("zh", "新 York Times 报", "新York Times报"),
    ],
)
def test_detokenize(language, tokens, expected):
    assert detokenize(tokens.split(), language)[0] == expected


@pytest.mark.parametrize("language", ["en", "de", "es", "nl"])
def test_tokenize_words_inverts_detokenize(language):
    spaced = 'Am ( Rhein ) sagte er : " Nein , Herr U.S. " , und 3.5 Tage - später - kam Anna-Lena .'
    text, spans = detokenize(spaced.split(), language)
    assert tokenize_words(text, language) == spans
