"""Are both sides of a corpus in their languages? A check of some hundred lines of each side, which is always on.

Two facts decide. The script of a line is exact, so a side that is mostly in a wrong script is an error. The identifier of
`language_id.py` compares the two languages of the pair with each other: sides that both fit the other's language better are
swapped, which is an error too. Everything weaker is a warning: a third language, close languages, few samples. Lines are
joined to samples of `SAMPLE_BYTES`, because single short lines mislead the identifier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from xner_ray.corpora.filters.language_id import identifier_class, raw_identifier
from xner_ray.language_codes import default_script, plain_language
from xner_ray.text.cldr import display_name
from xner_ray.text.scripts import chinese_script, expected_scripts, letter_scripts

LINES = 300  # of the first chunk
FURTHER_LINES = 100  # of each further one that is sampled
SAMPLE_BYTES = 120
_MAX_CHARS = 200  # of a line
_MIN_LINES = 10  # with letters; fewer lines cannot stop a run
_MIN_SAMPLES = 5
_MIN_LETTERS = 3
_MIN_SHARE = 0.2  # of the letters; names in Latin script can be longer than the Japanese sentence around them
_JAPANESE = expected_scripts("ja")
_MIN_JAPANESE = 8  # so many Chinese characters without any kana are no Japanese
_NOTABLE = 0.2  # fraction of samples in another language that is worth a warning
_OTHER_SCRIPT = 0.05  # fraction of lines in the other Chinese script that is worth a warning


@dataclass(frozen=True)
class Verdict:
    """The result of the check.

    Attributes:
        problem: why the corpus cannot be used; None: it can.
        swapped: the problem is that the sides are swapped.
        warnings: what is unusual, with figures.
    """

    problem: str | None = None
    swapped: bool = False
    warnings: tuple[str, ...] = ()


@dataclass
class LanguageCheck:
    """Collects lines of both sides, and judges them.

    Attributes:
        languages: normalized codes of source and target.
        lines: number of lines of the first chunk.
    """

    languages: tuple[str, str]
    lines: int = LINES
    _lines: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    _chunks: int = 0

    def add(self, source: pa.Array | pa.ChunkedArray, target: pa.Array | pa.ChunkedArray) -> bool:
        """Sample lines of a chunk. Of long corpora the chunks 1, 2, 4, 8, ... are sampled.

        Args:
            source: string [n].
            target: string [n].

        Returns:
            Whether lines were sampled.
        """
        self._chunks += 1
        if self._chunks & (self._chunks - 1) or not len(source):
            return False
        size = self.lines if self._chunks == 1 else FURTHER_LINES
        rows = np.unique(np.linspace(0, len(source) - 1, min(size, len(source))).astype(np.int64))
        for lines, side in zip(self._lines, (source, target), strict=True):
            lines += [text[:_MAX_CHARS] for text in side.take(pa.array(rows)).to_pylist() if text]
        return True

    def verdict(self) -> Verdict:
        """Judge the lines so far."""
        sides = ("source", "target")
        scripts = [_Scripts.of(lines, *pair) for lines, pair in zip(self._lines, self._pairs(), strict=True)]
        if all(s.stops and s.fits_other > s.lines / 2 for s in scripts):
            figures = "; ".join(
                f"{s.wrong} of {s.lines} {x} lines are {s.found}" for s, x in zip(scripts, sides, strict=True)
            )
            return Verdict(f"the sides look swapped: {figures}", swapped=True)
        warnings: list[str] = []
        for script, side, language in zip(scripts, sides, self.languages, strict=True):
            if script.stops:
                what = f"the {side} side is in the wrong script for {_name(language)}: {script.wrong} of {script.lines} lines"
                return Verdict(f"{what} are {script.found}, such as `{script.example}`")
            if script.wrong > _NOTABLE * script.lines:
                what = f"{script.wrong} of {script.lines} {side} lines are {script.found}"
                warnings.append(f"{what}, which is not the script of {_name(language)}")
            warnings += _other_chinese(self._lines[sides.index(side)], side, language)
        return self._compare_languages(warnings)

    def _compare_languages(self, warnings: list[str]) -> Verdict:
        classes = [identifier_class(language) for language in self.languages]
        fits: list[tuple[int, int]] = []
        for n, side in enumerate(("source", "target")):
            own, other = classes[n], classes[1 - n]
            if own is None:
                fits.append((0, 0))
                continue
            ranks = [raw_identifier().rank(text) for text in samples(self._lines[n])]
            better = sum(dict(rank)[other] > dict(rank)[own] for rank in ranks) if other and other != own else 0
            fits.append((better, len(ranks)))
            top = Counter(rank[0][0] for rank in ranks)
            warnings += _third_language(top, own, side, self.languages[n])
        (a, n), (b, m) = fits
        if min(n, m) >= 1 and a > n / 2 and b > m / 2:
            source, target = map(_name, self.languages)
            figures = (
                f"{a} of {n} samples of the source side fit {target} better than {source}, and {b} of {m} samples"
            )
            figures += f" of the target side fit {source} better than {target}"
            if min(n, m) >= _MIN_SAMPLES:
                return Verdict(f"the sides look swapped: {figures}", swapped=True)
            warnings.append(f"the sides may be swapped: {figures}")
        return Verdict(warnings=tuple(warnings))

    def _pairs(self) -> list[tuple[str, str]]:
        source, target = self.languages
        return [(source, target), (target, source)]


@dataclass(frozen=True)
class _Scripts:
    """Lines of one side with letters, those in a wrong script, and those that fit the other language."""

    lines: int
    wrong: int
    fits_other: int
    found: str
    example: str

    @property
    def stops(self) -> bool:
        return self.lines >= _MIN_LINES and self.wrong > self.lines / 2

    @classmethod
    def of(cls, lines: Sequence[str], own: str, other: str) -> _Scripts:
        expected, others = expected_scripts(own), expected_scripts(other)
        found: Counter[str] = Counter()
        judged = wrong = fits_other = 0
        example = ""
        for line in lines if expected is not None else ():
            letters = letter_scripts(line)
            total = sum(letters.values())
            if total < _MIN_LETTERS:
                continue
            judged += 1
            if _is_right(letters, total, expected or frozenset()):
                continue
            wrong += 1
            fits_other += others is not None and sum(letters[x] for x in others) >= total / 2
            found[letters.most_common(1)[0][0]] += 1
            example = example or line[:40]
        name = found.most_common(1)[0][0] if found else ""
        return cls(judged, wrong, fits_other, "Chinese characters" if name == "CJK" else name.capitalize(), example)


def _is_right(letters: Counter[str], total: int, expected: frozenset[str]) -> bool:
    """Whether a line is in one of the expected scripts, with names in Latin script."""
    if expected == _JAPANESE and letters["CJK"] == total >= _MIN_JAPANESE:
        return False  # Chinese
    kana = letters["HIRAGANA"] + letters["KATAKANA"]
    if "HIRAGANA" not in expected and kana > _MIN_SHARE * total:
        return False  # Japanese, of which about half of the letters are Chinese
    foreign = total - sum(letters[x] for x in {*expected, "LATIN"})
    return sum(letters[x] for x in expected) >= _MIN_SHARE * total and foreign <= total / 2


def samples(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined to texts of at least `SAMPLE_BYTES`; a rest of less than half of it is left out."""
    text = ""
    for line in lines:
        text = f"{text} {line}".strip()
        if len(text.encode()) >= SAMPLE_BYTES:
            yield text
            text = ""
    if len(text.encode()) >= SAMPLE_BYTES / 2:
        yield text


def _third_language(top: Counter[str], own: str, side: str, language: str) -> list[str]:
    """A warning if many samples are in one other language."""
    total = sum(top.values())
    others = [(n, x) for x, n in top.items() if x != own]
    if not others or max(others)[0] <= _NOTABLE * total:
        return []
    n, found = max(others)
    line = f"{n} of {total} samples of the {side} side look like {_name(found)}, {top[own]} like {_name(language)}"
    return [line + ("" if total >= _MIN_SAMPLES else " (few samples)")]


def _other_chinese(lines: Sequence[str], side: str, language: str) -> list[str]:
    """A warning if Traditional lines are given as Simplified Chinese, or the reverse."""
    if plain_language(language) != "zh":
        return []
    kinds = Counter(filter(None, map(chinese_script, lines)))
    wanted = default_script(language) or "Hans"
    other = "Hans" if wanted == "Hant" else "Hant"
    total = sum(kinds.values())
    if kinds[other] <= _OTHER_SCRIPT * total:
        return []
    names, code = {"Hans": "Simplified", "Hant": "Traditional"}, {"Hans": "zh", "Hant": "zh_TW"}[other]
    what = f"{kinds[other]} of {total} {side} lines are {names[other]} Chinese, and `{language}` is {names[wanted]}"
    return [f"{what}; the code for such text is `{code}`"]


def _name(language: str) -> str:
    return f"{display_name(language)} (`{language}`)"
