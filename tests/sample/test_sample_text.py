"""Sentences: inflected, with exact spans, distinct, and each computed from its number alone."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.sample_data import TARGETS, drawn, sides
from xner_ray.errors import UserError
from xner_ray.sample import generate
from xner_ray.sample.french import agree
from xner_ray.sample.generate import Shuffle, frames, pairs
from xner_ray.sample.inflect import capitalize, dutch_possessive, genitive, german_genitive, spanish_conjunction
from xner_ray.sample.names import KINDS, PARTS, values

# Inflection


@pytest.mark.parametrize(
    ("name", "german", "dutch"),
    [
        ("Anna", "Annas", "Anna's"),
        ("Marks", "Marks’", "Marks'"),
        ("Felix Graz", "Felix Graz’", "Felix Graz'"),
        ("Rossi", "Rossis", "Rossi's"),
        ("Shanghai", "Shanghais", "Shanghais"),
        ("Sydney", "Sydneys", "Sydneys"),
        ("Murphy", "Murphys", "Murphy's"),
        ("Rousseau", "Rousseaus", "Rousseaus"),
        ("Hanoi", "Hanois", "Hanois"),
        ("Tokio", "Tokios", "Tokio's"),
        ("Sophie", "Sophies", "Sophies"),
        ("Dietrich", "Dietrichs", "Dietrich'"),
        ("Ohio", "Ohios", "Ohio's"),
    ],
)
def test_possessives(name, german, dutch):
    assert (german_genitive(name), dutch_possessive(name)) == (german, dutch)


def test_german_genitive_of_nouns():
    assert german_genitive("Finanzministerium") == "Finanzministeriums"
    assert german_genitive("Kepler-Preis") == "Kepler-Preises"
    assert german_genitive("Friedenspreis") == "Friedenspreises"


@pytest.mark.parametrize(
    ("word", "following", "expected"),
    [
        ("y", "Italia", "e"),
        ("y", "Irlanda", "e"),
        ("y", "Hielo", "y"),
        ("y", "Hiroshima", "e"),
        ("y", "Iowa", "y"),
        ("y", "Perú", "y"),
        ("o", "Oslo", "u"),
        ("o", "Hohenheim", "u"),
        ("o", "Lima", "o"),
        ("o", "8", "u"),
        ("o", "11", "u"),
        ("o", "115", "o"),
    ],
)
def test_spanish_conjunctions(word, following, expected):
    assert spanish_conjunction(word, following) == expected


@pytest.mark.parametrize(
    ("before", "name", "kind", "expected"),
    [
        ("la ", "France", "LOC.country", "la "),
        ("Vers la ", "Japon", "LOC.country", "Vers le "),
        ("La ", "Italie", "LOC.country", "L'"),
        ("en ", "Iran", "LOC.country", "en "),
        ("en ", "Mexique", "LOC.country", "au "),
        ("en ", "Corée du Sud", "LOC.country", "en "),
        ("roi de ", "Danemark", "LOC.country", "roi du "),
        ("à la ", "Ukraine", "LOC.country", "à l'"),
        ("de ", "Dakar", "LOC.city", "de "),
        ("de ", "Oslo", "LOC.city", "d'"),
        ("que ", "Anna Keller", "PER.full", "qu'"),
        ("le ", "AC Milan", "ORG.club", "l'"),
        ("de la ", "Agence spatiale", "ORG.agency", "de l'"),
        ("en ", "arabe", "MISC.language", "en "),
        ("code ", "Oslo", "LOC.city", "code "),
        ("", "Oslo", "LOC.city", ""),
    ],
)
def test_french_articles_agree(before, name, kind, expected):
    assert agree(before, name, kind) == expected


@given(st.from_regex(r"\A[A-ZÄÖ][a-zäöüßéáëï]{1,9}( [A-Z][a-zéáëï]{1,9})?\Z"))
@settings(deadline=None)
def test_possessive_keeps_the_name_and_ends_in_s_or_apostrophe(name):
    for language in ("de", "nl"):
        inflected = genitive(name, language)
        assert inflected.startswith(name)
        assert inflected[len(name) :] in ("s", "’", "'", "'s", "es")
    assert not re.search(r"[sxzß]s$", german_genitive(name))


@given(st.text())
@settings(deadline=None)
def test_capitals_change_the_first_letter_only(text):
    assert capitalize(text)[1:].endswith(text[1:])
    assert capitalize(capitalize(text)) == capitalize(text)


# Pairs


@given(st.integers(1, 5000), st.text(max_size=5))
@settings(max_examples=30, deadline=None)
def test_shuffle_is_a_permutation(size, key):
    shuffle = Shuffle(size, key)
    assert sorted(map(shuffle, range(size))) == list(range(size))


@given(st.integers(0, 5_000_000), st.sampled_from(TARGETS), st.sampled_from(PARTS), st.integers(0, 3))
@settings(deadline=None)
def test_pair_depends_on_its_number_alone_and_shares_its_english(index, language, part, seed):
    alone = next(pairs(language, part, seed, start=index))
    assert alone.index == index
    walked = next(itertools.islice(pairs(language, part, seed, start=max(0, index - 3)), min(index, 3), None))
    assert alone == walked
    other = next(pairs("de", part, seed, start=index))
    assert (alone.source, alone.source_entities) == (other.source, other.source_entities)
    assert Counter(span.type for span in alone.source_entities) == Counter(span.type for span in alone.target_entities)


def test_start_skips_pairs():
    assert list(itertools.islice(pairs("nl", "train", 7, start=1000), 500)) == drawn("nl", "train")[1000:1500]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", TARGETS)
def test_sentences_are_filled_and_spans_are_surfaces(language, part):
    of_part = {frame.id: frame for frame in frames(part)}
    known = {
        (tag, kind): {
            form
            for value in values(kind, part)
            for text in filter(None, (value.text[tag], value.last.get(tag)))
            for form in ({text, capitalize(text)} | ({genitive(text, tag)} if tag in ("de", "nl") else set()))
        }
        for tag in ("en", language)
        for kind in KINDS
    }
    for tag in ("en", language):  # the later mention of someone named in full
        known[tag, "PER.last"] |= known[tag, "PER.full"]
    for pair in drawn(language, part):
        frame = of_part[pair.frame]
        assert pair.domain == frame.domain
        for tag, text, spans in sides(pair, language):
            assert not re.search(r"[{}|\t\n]|  ", text), text
            assert text == text.strip()
            slots = [slot for slot in frame.slots(tag) if slot.kind in KINDS]
            assert [span.type for span in spans] == [slot.kind.split(".")[0] for slot in slots]
            assert all(a.end <= b.start for a, b in itertools.pairwise(spans))
            for span, slot in zip(spans, slots, strict=True):
                assert text[span.start : span.end] in known[tag, slot.kind], text


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", ["zh", "ja"])
def test_no_space_outside_ascii_runs(language, part):
    assert not [p.target for p in drawn(language, part) if re.search(r"(?<![!-~]) | (?![!-~])", p.target)]


@pytest.mark.parametrize("language", ["en", "de", "es", "nl", "fr"])
def test_sentences_start_with_a_capital_letter(language):
    for pair in drawn("de" if language == "en" else language, "train"):
        text = pair.source if language == "en" else pair.target
        first = re.search(r"\w", re.sub(r"^['’]\w ", "", text))
        assert first and not first[0].islower(), text


@pytest.mark.timeout(900)  # five seconds on a free core
def test_200_000_pairs_are_distinct_and_a_seventh_has_no_entity():
    seen, plain = set(), 0
    for pair in itertools.islice(pairs("es", "train", 3), 200_000):
        seen.add(hash((pair.source, pair.target)))  # equal hashes of 200,000 different pairs: one run in 10^9
        plain += not pair.source_entities
    assert len(seen) == 200_000
    assert 0.13 <= plain / 200_000 <= 0.17


def test_another_seed_and_the_other_part_give_other_sentences():
    first, other = ({p.source for p in itertools.islice(pairs("de", "train", seed), 2000)} for seed in (1, 2))
    assert len(first & other) < 400
    assert not first & {p.source for p in drawn("de", "eval")}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("en", "train", 1), "unknown language"),
        (("de", "dev", 1), "unknown part"),
        (("de", "train", 1, -1), "no pair has number"),
        (("de", "train", 1, generate.END), "no pair has number"),
    ],
)
def test_wrong_arguments_are_errors(arguments, problem):
    with pytest.raises(UserError, match=problem):
        pairs(*arguments)
