"""Frames and names: complete in all languages, and no name of the evaluation part in the training part."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from functools import cache

import pytest

from tests.harness.sample_data import TARGETS, drawn, surfaces
from xner_ray.errors import UserError
from xner_ray.sample import template
from xner_ray.sample.generate import frames
from xner_ray.sample.names import KINDS, LANGUAGES, PARTS, read_list, values
from xner_ray.sample.write import CORPORA
from xner_ray.text.languages import get_language

# Frames


def test_number_of_frames_and_domains():
    everything = [frame for part in PARTS for frame in frames(part)]
    assert len(everything) >= 240
    assert len({frame.domain for frame in everything}) >= 8
    assert len({frame.id for frame in everything}) == len(everything)
    assert {frame.domain for frame in everything} == set(itertools.chain(*CORPORA.values()))


@pytest.mark.parametrize("part", PARTS)
def test_every_domain_has_all_types_and_sentences_without_entity(part):
    for domain, group in itertools.groupby(frames(part), key=lambda frame: frame.domain):
        group = list(group)
        kinds = {slot.kind.split(".")[0] for frame in group for slot in frame.slots()}
        assert {"PER", "LOC", "ORG", "MISC"} <= kinds, domain
        assert any(frame.plain for frame in group), domain


def test_all_languages_have_the_same_slots():
    for frame in itertools.chain(*map(frames, PARTS)):
        counts = [Counter(slot[:2] for slot in frame.slots(language)) for language in LANGUAGES]
        assert all(count == counts[0] for count in counts), frame.id


def test_no_frame_is_in_both_parts():
    for language in LANGUAGES:
        train, held_out = ({frame.pieces[language] for frame in frames(part)} for part in PARTS)
        assert not train & held_out
        assert len(train) + len(held_out) == sum(len(frames(part)) for part in PARTS)


GOOD = "train\t{PER.full} left.\t{PER.full} ging.\t{PER.full} se fue.\t{PER.full} vertrok.\t{PER.full}走了。"
GOOD += "\t{PER.full} a dormi.\t{PER.full}は去った。"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (GOOD.replace("train", "test"), "a part and 7 sentences"),
        (GOOD + "\tmore", "a part and 7 sentences"),
        (GOOD.replace("{PER.full}走", "走"), "not as often as in en"),
        (GOOD.replace("{PER.full} se", "{PER.full} y {PER.full} se"), "not as often as in en"),
        (GOOD.replace("PER.full", "PER.nick"), "unknown kind PER.nick"),
        (GOOD.replace("PER.full", "NUM.years"), "unknown kind NUM.years"),
        (GOOD.replace("{PER.full} left", "{PER.full|gen} left"), "no form gen"),
        (GOOD.replace("{PER.full} ging", "{PER.full|dat} ging"), "no form dat"),
        (GOOD.replace("left", "{left"), "brace"),
    ],
)
def test_wrong_frame_is_an_error_with_file_and_line(tmp_path, line, problem):
    path = tmp_path / "news.tsv"
    path.write_text("\t".join(("part", *LANGUAGES)) + f"\n{GOOD}\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(problem)) as raised:
        template.parse_frames(path, "news")
    assert (raised.value.file, raised.value.line) == (path, 3)
    assert raised.value.remedy


def test_wrong_header_is_an_error(tmp_path):
    path = tmp_path / "news.tsv"
    path.write_text("en\tde\n", encoding="utf-8")
    with pytest.raises(UserError, match="wrong header"):
        template.parse_frames(path, "news")


# Names


def test_size_of_lists():
    least = {"given": 60, "family": 80, "city": 120, "region": 40, "company": 60, "ministry": 16, "agency": 30}
    least |= {"paper": 20, "cup": 24, "title": 40, "prize": 24}
    assert {name: len(read_list(name)) >= count for name, count in least.items()} == dict.fromkeys(least, True)


@pytest.mark.parametrize("kind", KINDS)
def test_values_have_distinct_surfaces_and_about_a_fifth_is_held_out(kind):
    train, held_out = (values(kind, part) for part in PARTS)
    for language in LANGUAGES:
        shown = [value.text[language] for value in (*train, *held_out)]
        assert len(set(shown)) == len(shown), [text for text, count in Counter(shown).items() if count > 1]
        assert all(text and text == text.strip() for text in shown)
    if kind != "PER.full":  # a product of two lists
        assert 0.1 <= len(held_out) / (len(train) + len(held_out)) <= 0.35


def test_chinese_surfaces_are_chinese():
    for part in PARTS:
        assert not [text for text in surfaces(part)["zh"] if re.search(r"[\x00-\x7f]", text)]


def test_no_given_or_family_name_is_shared_between_parts():
    for language in LANGUAGES:
        train, held_out = (
            {
                row[language]
                for name in ("given", "family", "given_zh", "family_zh")
                for own, row in read_list(name)
                if own == part
            }
            for part in PARTS
        )
        assert not train & held_out


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_evaluation_name_is_in_a_training_name_or_frame(language):
    shown = surfaces("train")[language]
    shown |= {
        piece for frame in frames("train") for piece in frame.pieces[language] if isinstance(piece, str) and piece
    }
    assert not leaks(surfaces("eval")[language], "\n".join(sorted(shown)), language)


@pytest.mark.parametrize("language", TARGETS)
def test_no_evaluation_name_is_in_training_sentences(language):
    sample = drawn(language, "train", 8000)
    for tag, text in (("en", "\n".join(p.source for p in sample)), (language, "\n".join(p.target for p in sample))):
        assert not leaks(surfaces("eval")[tag], text, tag)


@pytest.mark.parametrize("language", ["zh", "ja"])
def test_no_evaluation_name_arises_between_two_pieces(language):
    """利马 before 赛前 would show 马赛: every way to join two neighbors of a training frame is tried."""
    halves = {(text[:cut], text[cut:]) for text in surfaces("eval")[language] for cut in range(1, len(text))}

    @cache
    def cuts(piece: str | template.Slot, at_end: bool) -> set[str]:
        texts = {piece} if isinstance(piece, str) else {"0"}
        if isinstance(piece, template.Slot) and piece.kind in KINDS:
            kinds = ("PER.full", "PER.last") if piece.kind.startswith("PER") else (piece.kind,)
            found = [value for kind in kinds for value in values(kind, "train")]
            texts = {text for v in found for text in (v.text[language], v.last.get(language, v.text[language]))}
        return {text[-size:] if at_end else text[:size] for text in texts for size in range(1, 12)}

    for frame in frames("train"):
        for left, right in itertools.pairwise(filter(None, frame.pieces[language])):
            assert not [(a, b) for a, b in halves if a in cuts(left, True) and b in cuts(right, False)], frame.id


def leaks(held_out: set[str], text: str, language: str) -> set[str]:
    if not get_language(language).uses_spaces:
        return {surface for surface in held_out if surface in text}
    words = set(re.findall(r"\w+", text))
    suspects = {surface for surface in held_out if words.issuperset(re.findall(r"\w+", surface))}
    return {surface for surface in suspects if re.search(rf"(?<!\w){re.escape(surface)}(?!\w)", text)}


def test_unknown_kind_or_part_is_an_error():
    with pytest.raises(UserError, match="unknown kind"):
        values("LOC.river", "train")
    with pytest.raises(UserError, match="unknown part"):
        values("LOC.city", "test")
