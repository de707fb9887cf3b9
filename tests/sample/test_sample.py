"""The sample's promises: exact spans, no leak from evaluation into training, the same bytes for the same arguments."""

from __future__ import annotations

import itertools
import json
import re
import zipfile
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xner_ray.errors import UserError
from xner_ray.sample import generate, names, template
from xner_ray.sample.generate import SamplePair, Shuffle, Span, frames, pairs
from xner_ray.sample.inflect import capitalise, dutch_possessive, genitive, german_genitive, spanish_conjunction
from xner_ray.sample.names import KINDS, LANGUAGES, PARTS, read_list, values
from xner_ray.sample.write import CORPORA, tokens, write_sample

TARGETS = LANGUAGES[1:]
LISTS = ("given", "family", "given_zh", "family_zh", *names.LISTED.values())


@cache
def drawn(language: str, part: str, count: int = 3000) -> list[SamplePair]:
    return list(itertools.islice(pairs(language, part, seed=7), count))


def sides(pair: SamplePair, language: str) -> list[tuple[str, str, tuple[Span, ...]]]:
    return [("en", pair.source, pair.source_entities), (language, pair.target, pair.target_entities)]


@cache
def surfaces(part: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {language: set() for language in LANGUAGES}
    for kind, language in itertools.product(KINDS, LANGUAGES):
        for value in values(kind, part):
            found[language] |= {value.text[language]} | ({value.last[language]} if value.last else set())
    return found


# Frames


def test_frames_are_many_in_many_domains():
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


def test_all_languages_hold_the_same_slots_as_often():
    for frame in itertools.chain(*map(frames, PARTS)):
        counts = [Counter(slot[:2] for slot in frame.slots(language)) for language in LANGUAGES]
        assert all(count == counts[0] for count in counts), frame.id


def test_no_frame_is_in_both_parts():
    for language in LANGUAGES:
        train, held_out = ({frame.pieces[language] for frame in frames(part)} for part in PARTS)
        assert not train & held_out
        assert len(train) + len(held_out) == sum(len(frames(part)) for part in PARTS)


GOOD = "train\t{PER.full} left.\t{PER.full} ging.\t{PER.full} se fue.\t{PER.full} vertrok.\t{PER.full}走了。"


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (GOOD.replace("train", "test"), "a part and five sentences"),
        (GOOD + "\tmore", "a part and five sentences"),
        (GOOD.replace("{PER.full}走", "走"), "not as often as in en"),
        (GOOD.replace("{PER.full} se", "{PER.full} y {PER.full} se"), "not as often as in en"),
        (GOOD.replace("PER.full", "PER.nick"), "unknown kind PER.nick"),
        (GOOD.replace("PER.full", "NUM.years"), "unknown kind NUM.years"),
        (GOOD.replace("{PER.full} left", "{PER.full|gen} left"), "no form gen"),
        (GOOD.replace("{PER.full} ging", "{PER.full|dat} ging"), "no form dat"),
        (GOOD.replace("left", "{left"), "brace"),
    ],
)
def test_a_wrong_frame_is_named_with_file_and_line(tmp_path, line, problem):
    path = tmp_path / "news.tsv"
    path.write_text("\t".join(("part", *LANGUAGES)) + f"\n{GOOD}\n{line}\n", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(problem)) as raised:
        template.parse_frames(path, "news")
    assert (raised.value.file, raised.value.line) == (path, 3)
    assert raised.value.remedy


def test_a_wrong_header_is_an_error(tmp_path):
    path = tmp_path / "news.tsv"
    path.write_text("en\tde\n", encoding="utf-8")
    with pytest.raises(UserError, match="wrong header"):
        template.parse_frames(path, "news")


# Names


def test_lists_are_of_good_size():
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
def test_no_held_out_surface_lies_in_a_training_surface_or_frame(language):
    shown = surfaces("train")[language]
    shown |= {
        piece for frame in frames("train") for piece in frame.pieces[language] if isinstance(piece, str) and piece
    }
    assert not leaks(surfaces("eval")[language], "\n".join(sorted(shown)), language)


@pytest.mark.parametrize("language", TARGETS)
def test_no_held_out_surface_occurs_in_training_sentences(language):
    sample = drawn(language, "train", 8000)
    for tag, text in (("en", "\n".join(p.source for p in sample)), (language, "\n".join(p.target for p in sample))):
        assert not leaks(surfaces("eval")[tag], text, tag)


def test_no_held_out_chinese_surface_arises_where_two_pieces_meet():
    """利马 before 赛前 would show 马赛: every way to join two neighbours of a training frame is tried."""
    halves = {(text[:cut], text[cut:]) for text in surfaces("eval")["zh"] for cut in range(1, len(text))}

    @cache
    def cuts(piece: str | template.Slot, at_end: bool) -> set[str]:
        texts = {piece} if isinstance(piece, str) else {"0"}
        if isinstance(piece, template.Slot) and piece.kind in KINDS:
            kinds = ("PER.full", "PER.last") if piece.kind.startswith("PER") else (piece.kind,)
            found = [value for kind in kinds for value in values(kind, "train")]
            texts = {text for v in found for text in (v.text["zh"], v.last.get("zh", v.text["zh"]))}
        return {text[-size:] if at_end else text[:size] for text in texts for size in range(1, 12)}

    for frame in frames("train"):
        for left, right in itertools.pairwise(filter(None, frame.pieces["zh"])):
            assert not [(a, b) for a, b in halves if a in cuts(left, True) and b in cuts(right, False)], frame.id


def leaks(held_out: set[str], text: str, language: str) -> set[str]:
    if language == "zh":
        return {surface for surface in held_out if surface in text}
    words = set(re.findall(r"\w+", text))
    suspects = {surface for surface in held_out if words.issuperset(re.findall(r"\w+", surface))}
    return {surface for surface in suspects if re.search(rf"(?<!\w){re.escape(surface)}(?!\w)", text)}


def test_an_unknown_kind_or_part_is_an_error():
    with pytest.raises(UserError, match="unknown kind"):
        values("LOC.river", "train")
    with pytest.raises(UserError, match="unknown part"):
        values("LOC.city", "test")


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


@given(st.from_regex(r"\A[A-ZÄÖ][a-zäöüßéáëï]{1,9}( [A-Z][a-zéáëï]{1,9})?\Z"))
@settings(deadline=None)
def test_a_possessive_keeps_the_name_and_ends_in_s_or_apostrophe(name):
    for language in ("de", "nl"):
        inflected = genitive(name, language)
        assert inflected.startswith(name)
        assert inflected[len(name) :] in ("s", "’", "'", "'s", "es")
    assert not re.search(r"[sxzß]s$", german_genitive(name))


@given(st.text())
@settings(deadline=None)
def test_capitals_change_the_first_letter_only(text):
    assert capitalise(text)[1:].endswith(text[1:])
    assert capitalise(capitalise(text)) == capitalise(text)


# Pairs


@given(st.integers(1, 5000), st.text(max_size=5))
@settings(max_examples=30, deadline=None)
def test_a_shuffle_is_a_bijection(size, key):
    shuffle = Shuffle(size, key)
    assert sorted(map(shuffle, range(size))) == list(range(size))


@given(st.integers(0, 5_000_000), st.sampled_from(TARGETS), st.sampled_from(PARTS), st.integers(0, 3))
@settings(deadline=None)
def test_any_pair_can_be_had_alone_and_has_the_same_english_in_all_languages(index, language, part, seed):
    alone = next(pairs(language, part, seed, start=index))
    assert alone.index == index
    walked = next(itertools.islice(pairs(language, part, seed, start=max(0, index - 3)), min(index, 3), None))
    assert alone == walked
    other = next(pairs("de", part, seed, start=index))
    assert (alone.source, alone.source_entities) == (other.source, other.source_entities)
    assert Counter(span.type for span in alone.source_entities) == Counter(span.type for span in alone.target_entities)


def test_start_skips():
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
            for form in ({text, capitalise(text)} | ({genitive(text, tag)} if tag in ("de", "nl") else set()))
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
def test_chinese_has_no_space_outside_ascii_runs(part):
    assert not [p.target for p in drawn("zh", part) if re.search(r"(?<![!-~]) | (?![!-~])", p.target)]


@pytest.mark.parametrize("language", ["en", "de", "es", "nl"])
def test_sentences_start_with_a_capital(language):
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


# CoNLL


def spans_of(text: str, tagged: list[tuple[str, str]]) -> list[Span]:
    """The way back: find the tokens in the text, join B- and I- to spans."""
    found: list[Span] = []
    end = 0
    for token, tag in tagged:
        start = text.index(token, end)
        assert text[end:start].strip() == "", "a token got lost"
        end = start + len(token)
        if tag.startswith("B-"):
            found.append(Span(start, end, tag[2:]))
        elif tag.startswith("I-"):
            assert found and found[-1].type == tag[2:]
            found[-1] = found[-1]._replace(end=end)
    assert text[end:].strip() == ""
    return found


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("language", TARGETS)
def test_tokens_and_tags_give_the_spans_back(language, part):
    for pair in drawn(language, part):
        for tag, text, spans in sides(pair, language):
            assert spans_of(text, tokens(text, spans, tag)) == list(spans), text


def test_tokens_split_punctuation_and_possessives():
    text = "\"O'Neill's,\" said Anna Keller's twenty-two fans at 14:30 - 37% don't."
    words = [token for token, _ in tokens(text, [Span(18, 29, "PER")], "en")]
    expected = "\" O'Neill 's , \" said Anna Keller 's twenty-two fans at 14:30 - 37 % don't ."
    assert words == expected.split()
    dutch = "'s Avonds ziet zo'n collega 't op foto's."
    assert [token for token, _ in tokens(dutch, [], "nl")] == [*dutch[:-1].split(), "."]
    assert tokens("Annas Mut", [Span(0, 5, "PER")], "de") == [("Annas", "B-PER"), ("Mut", "O")]
    assert tokens("Anna's moed", [Span(0, 6, "PER")], "nl") == [("Anna's", "B-PER"), ("moed", "O")]


def test_chinese_tokens_are_characters_and_ascii_runs():
    assert tokens("王伟在GDP上花了37%。", [Span(0, 2, "PER")], "zh") == [
        ("王", "B-PER"),
        ("伟", "I-PER"),
        *((token, "O") for token in ("在", "GDP", "上", "花", "了", "37", "%", "。")),
    ]


# Files


def test_files_are_complete_and_byte_identical(tmp_path):
    seen: list[tuple[str, int, int]] = []
    manifest = write_sample(
        tmp_path / "a", 400, 5, gold_sentences=60, eval_sentences=40, progress=lambda *a: seen.append(a)
    )
    again = write_sample(tmp_path / "b", 400, 5, gold_sentences=60, eval_sentences=40)
    assert manifest == again == json.loads((tmp_path / "a" / "MANIFEST.json").read_text(encoding="utf-8"))
    assert seen == [(language, 400, 400) for language in ("de", "es", "nl", "zh")]
    written = sorted(
        path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a").rglob("*") if path.is_file()
    )
    assert written == sorted(["MANIFEST.json", *manifest["files"]])
    for name in written:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    other = write_sample(tmp_path / "c", 400, 6, ["zh"], gold_sentences=60, eval_sentences=40)
    assert other["files"]["gold/zh.eval.conll"]["sha256"] != manifest["files"]["gold/zh.eval.conll"]["sha256"]


def test_archives_are_moses_and_hold_the_pairs(tmp_path):
    manifest = write_sample(tmp_path, 500, 5, ["de", "zh"], gold_sentences=10, eval_sentences=10)
    for language, pair in (("de", "de-en"), ("zh", "en-zh")):
        lines: Counter[tuple[str, str]] = Counter()
        for corpus in CORPORA:
            path = Path(corpus, "v1", "moses", f"{pair}.txt.zip")
            with zipfile.ZipFile(tmp_path / path) as archive:
                assert archive.namelist() == [
                    "README",
                    "LICENSE",
                    f"{corpus}.{pair}.en",
                    f"{corpus}.{pair}.{language}",
                ]
                assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
                source, target = (
                    archive.read(f"{corpus}.{pair}.{side}").decode().removesuffix("\n").split("\n")
                    for side in ("en", language)
                )
            assert len(source) == len(target) == manifest["files"][path.as_posix()]["pairs"]
            lines.update(zip(source, target, strict=True))
        assert lines == Counter((p.source, p.target) for p in itertools.islice(pairs(language, "train", 5), 500))


def test_gold_is_conll(tmp_path):
    write_sample(tmp_path, 10, 5, ["nl"], gold_sentences=50, eval_sentences=30)
    for name, count in (("en.train", 50), ("en.dev", 30), ("nl.eval", 30)):
        raw = (tmp_path / "gold" / f"{name}.conll").read_bytes()
        assert b"\r" not in raw
        text = raw.decode()
        assert text.endswith("\n\n")
        sentences = text.removesuffix("\n\n").split("\n\n")
        assert len(sentences) == count
        for sentence in sentences:
            tags = [
                "O",
                *(re.fullmatch(r"\S+\t(O|[BI]-(?:PER|ORG|LOC|MISC))", line)[1] for line in sentence.split("\n")),
            ]
            for before, tag in itertools.pairwise(tags):
                assert not tag.startswith("I-") or before[2:] == tag[2:]


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"pairs": 0}, "pairs"),
        ({"gold_sentences": 0}, "gold_sentences"),
        ({"eval_sentences": -1}, "eval_sentences"),
        ({"languages": ["fr"]}, "languages"),
        ({"languages": ["en"]}, "languages"),
        ({"languages": []}, "languages"),
        ({"languages": "de"}, "languages"),
        ({"languages": ["de", "de"]}, "languages"),
    ],
)
def test_wrong_sample_arguments_are_named(tmp_path, changed, key):
    with pytest.raises(UserError) as raised:
        write_sample(tmp_path, **{"pairs": 5, "seed": 1, **changed})
    assert raised.value.key == key
    assert raised.value.remedy


def test_a_folder_that_is_a_file_is_a_user_error_and_leaves_nothing(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        write_sample(tmp_path / "taken", 5, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
