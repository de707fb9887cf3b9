"""Escapes of HTML and XML are decoded, tags of subtitles removed, and text that only looks like them stays."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xner_ray.corpora.filters.markup import clean_markup, decode_escapes, remove_tags


def clean(text):
    texts, unescaped, untagged = clean_markup(pa.array([text, "Anna"], pa.large_string()))
    assert texts.to_pylist()[1] == "Anna" and not unescaped[1] and not untagged[1]
    return texts.to_pylist()[0], bool(unescaped[0]), bool(untagged[0])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("O&apos;Brien", "O'Brien"),
        ("AT&amp;T", "AT&T"),
        ("O&amp;apos;Brien &amp;amp;amp; Sons", "O'Brien & Sons"),
        ("&quot;Ja&quot; &#91;1&#93; &#x27;n&#X27;", "\"Ja\" [1] 'n'"),
        ("M&uuml;ller&nbsp;AG", "Müller\u00a0AG"),
        ("it&#146;s", "it’s"),
    ],
)
def test_escapes_are_decoded(text, expected):
    assert clean(text) == (expected, True, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"{\an8}Berlin ruft.", "Berlin ruft."),
        (r"{\an8}{\i1}Berlin{\i0} ruft.", "Berlin ruft."),
        ("{y:i}Hallo", "Hallo"),
        (r"Be{\i1}rl{\i0}in\Nruft".replace("\\N", " "), "Berlin ruft"),
        ("<i>Anna</i> geht.", "Anna geht."),
        ("Er sagte <i>ja</i>, <b>nein</b>!", "Er sagte ja, nein!"),
        ('<font color="#ffffff">Anna</font>', "Anna"),
        ("<i>Anna</i><i>Berlin</i>", "Anna Berlin"),
        ("Anna<ph/>Berlin", "Anna Berlin"),
        ("Anna<br />Berlin", "Anna Berlin"),
        ("Anna <br> Berlin", "Anna Berlin"),
        ("An<b>na</b>", "Anna"),
        ("<I>Anna</I>", "Anna"),
        ("<c.yellow>Anna</c>", "Anna"),
    ],
)
def test_tags_are_removed(text, expected):
    assert clean(text) == (expected, False, True)


def test_escaped_tags_are_removed():
    assert clean("&lt;i&gt;Anna&lt;/i&gt;") == ("Anna", True, True)


@pytest.mark.parametrize(
    "text",
    [
        "AT&T, R&D; Q&A",
        "http://a.org/?a=1&para=2&copy=3",
        "&unknown; &#0; &#xD800; &#xFFFFFFF; &;",
        "a < b > c, x<y, <3, <-",
        "<Anna> and {Berlin} {x} <table>",
        "{ \\an8 } <>",
        "a &lt b",
    ],
)
def test_other_text_stays(text):
    assert clean(text) == (text, False, False)


@given(st.text("abé &;<>/{}\\#i1", max_size=40))
def test_cleaning_is_idempotent_but_for_text_that_becomes_markup(text):
    once = remove_tags(decode_escapes(text))
    if not any(c in once for c in "&<{"):
        assert remove_tags(decode_escapes(once)) == once
    if not any(c in text for c in "&<{"):
        assert once == text


@given(st.text(max_size=30))
def test_escaped_text_is_decoded_to_itself(text):
    import html

    if "&" not in text:
        assert decode_escapes(html.escape(text)) == text
