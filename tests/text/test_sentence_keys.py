"""Keys of sentences: what they ignore, and values that must never change."""

from __future__ import annotations

import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.corpora.sampling import pair_hash
from xner_ray.text.sentence_keys import PAIR_KEY_VERSION, pair_keys, splitmix64, target_keys, text_keys, unit_interval

LAWS = settings(deadline=None)
TEXT = st.text(st.sampled_from("aB1äß中。 .,!?“”«»…\u00a0\u3000！Ａ0-'’€"), max_size=8)
SOURCES = pa.array(["Hello, world!", "HELLO  “world”", "Hi.", "ABC 12", "", "What a day!", "a_b ½ x²"])
TARGETS = pa.array(["Hallo, Welt!", "HALLO  „Welt“", "你好。", "ＡＢＣ １２", "", "¡Qué día!", "a_b ½ x²"])


def key(source: str, target: str) -> int:
    return int(pair_keys(pa.array([source]), pa.array([target]))[0])


@LAWS
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=30))
def test_pair_keys_are_equal_when_letters_and_digits_are(pairs):
    def plain(text: str) -> str:
        return "".join(x for x in text.lower() if unicodedata.category(x)[0] in "LN" or x == "€")

    expected = [(plain(a), plain(b)) for a, b in pairs]
    columns = [pa.chunked_array([pa.array([x[i] for x in pairs]), pa.array([], pa.string())]) for i in (0, 1)]
    keys = pair_keys(*columns).tolist()
    assert len(set(zip(expected, keys, strict=True))) == len(set(expected)) == len(set(keys))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("Hello, world!", "Hallo Welt."), ("hello world", "„Hallo, Welt“"), True),
        (("ÄRGER", "x"), ("ärger", "x"), True),
        (("Room 3", "x"), ("Room 4", "x"), False),
        (("ab", "c"), ("a", "bc"), False),
        (("a", "b"), ("b", "a"), False),
    ],
)
def test_pair_keys_of_examples(one, other, same):
    assert (key(*one) == key(*other)) == same


def test_no_pairs_have_no_keys():
    empty = pa.chunked_array([], pa.string())
    assert pair_keys(empty, empty).dtype == np.uint64 and len(pair_keys(empty, empty)) == 0


def test_text_keys_ignore_case_spaces_and_punctuation():
    keys = text_keys(pa.array(["Hallo, Welt!", "hallo welt", "HALLO  „Welt“", "Hallo Wald", "你好。", "你 好"]))
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] == keys[5]
    full_width, ascii_text = pa.array(["ＡＢＣ １２"]), pa.array(["abc 12"])
    assert text_keys(full_width, nfkc=True) == text_keys(ascii_text) != text_keys(full_width)


def test_pair_keys_are_those_that_collections_have_stored():
    assert PAIR_KEY_VERSION == 1
    assert pair_keys(SOURCES, TARGETS).tolist() == [
        528534207737862372,
        528534207737862372,
        4169065149610734980,
        6260542039793969031,
        3971799889081168253,
        17696973176270164483,
        9792450034693905625,
    ]
    assert target_keys(TARGETS).tolist() == [
        14987238244649373735,
        14987238244649373735,
        7358202029835444106,
        14688985894730771557,
        3971799889081168253,
        15371339395137407043,
        8505433555496299628,
    ]


def test_text_keys_are_those_of_published_splits():
    assert text_keys(TARGETS).tolist() == [
        11781927143350197051,
        11781927143350197051,
        8551225454117061739,
        11701685264241083450,
        14343194046234763318,
        2901504612577401440,
        17443766457168780996,
    ]
    assert text_keys(TARGETS, seed=7).tolist()[:3] == [
        17589257945731653365,
        17589257945731653365,
        13690958908547846240,
    ]
    assert text_keys(TARGETS, seed=-1).tolist()[0] == 16935860852310136651
    nfkc = text_keys(TARGETS, nfkc=True).tolist()
    assert nfkc[3] == 7715865788037679876 and nfkc[6] == 16606878599819129795


def test_sampling_hashes_are_those_of_published_samples():
    ids = np.array([0, 1, 2, 10**12])
    assert splitmix64(ids.astype(np.uint64)).tolist() == [
        16294208416658607535,
        10451216379200822465,
        10905525725756348110,
        17519542186978511224,
    ]
    assert pair_hash(13, "Europarl/v8", "de", ids).tolist() == [
        10142979877810675112,
        8054836408109810277,
        5266329282742935186,
        10833586524228066352,
    ]


def test_unit_interval_excludes_one():
    assert unit_interval(np.array([0, 2**63, 2**64 - 1], np.uint64)).tolist() == [0.0, 0.5, 1 - 2.0**-53]
