"""Sample files: CoNLL with the right spans, Moses archives, the same bytes for the same arguments."""

from __future__ import annotations

import itertools
import json
import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.sample_data import TARGETS, drawn, sides
from xner_ray.errors import UserError
from xner_ray.sample.generate import Span, pairs
from xner_ray.sample.names import PARTS
from xner_ray.sample.write import CORPORA, tokens, write_sample

# CoNLL


def bio2_to_spans(text: str, tagged: list[tuple[str, str]]) -> list[Span]:
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
def test_tokens_and_tags_match_the_spans(language, part):
    for pair in drawn(language, part):
        for tag, text, spans in sides(pair, language):
            assert bio2_to_spans(text, tokens(text, spans, tag)) == list(spans), text


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
        ({"languages": ["sv"]}, "languages"),
        ({"languages": ["en"]}, "languages"),
        ({"languages": []}, "languages"),
        ({"languages": "de"}, "languages"),
        ({"languages": ["de", "de"]}, "languages"),
    ],
)
def test_wrong_arguments_are_errors_with_key(tmp_path, changed, key):
    with pytest.raises(UserError) as raised:
        write_sample(tmp_path, **{"pairs": 5, "seed": 1, **changed})
    assert raised.value.key == key
    assert raised.value.remedy


def test_unwritable_folder_is_a_user_error(tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(UserError) as raised:
        write_sample(tmp_path / "taken", 5, 1)
    assert raised.value.file == tmp_path / "taken" and raised.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
