"""Frames: one sentence in all languages with typed slots, read from `frames/<domain>.tsv`.

Because a frame exists in all languages, the entity spans of its sentences are known. There are only a few hundred
frames. Each line is checked strictly, because a slot that one language lacks would become a wrong label in the gold
files.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from xner_ray.errors import UserError
from xner_ray.sample.names import KINDS, LANGUAGES, PARTS

FREE = {
    "NUM": tuple(str(n) for n in range(2, 999)),  # from 2, because the frames use the plural
    "YEAR": tuple(str(n) for n in range(1950, 2026)),
    # from 06:00, because the frames use the Spanish "a las", which is wrong for 01:00
    "TIME": tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in range(6 * 60, 23 * 60, 5)),
    "PCT": tuple(str(n) for n in range(2, 99)),
}
# Maximum numbers before an English unit: a person does not work 500 years for one company.
UNITS = {"years": 60, "months": 60, "weeks": 60, "times": 60, "hours": 180, "minutes": 180}
FREE |= {f"NUM.{unit}": tuple(str(n) for n in range(2, top)) for unit, top in UNITS.items()}
UNIT = re.compile(rf" (?:\w+ )?({'|'.join(UNITS)})\b")
_SLOT = re.compile(r"\{([A-Za-z.]+)(?:#(\d+))?(?:\|(\w+))?\}")
_GENITIVE = ("PER.full", "PER.last", "LOC.city", "LOC.country", "LOC.region", "ORG.ministry", "MISC.prize")


class Slot(NamedTuple):
    kind: str
    number: int
    form: str

    @property
    def variable(self) -> tuple[str, int]:
        """The variable of the slot: PER.full#1 and PER.last#1 are the same person."""
        return ("PER" if self.kind.startswith("PER") else self.kind), self.number


@dataclass(frozen=True)
class Frame:
    """One sentence in all languages; `pieces` alternates between literals and slots, and starts and ends with a literal."""

    id: str
    domain: str
    part: str
    pieces: dict[str, tuple[str | Slot, ...]]

    def slots(self, language: str = "en") -> list[Slot]:
        return [piece for piece in self.pieces[language] if isinstance(piece, Slot)]

    @property
    def plain(self) -> bool:
        return all(slot.kind in FREE for slot in self.slots())


def parse_frames(path: Traversable, domain: str) -> list[Frame]:
    """Read the frames of a file.

    Raises:
        UserError: header or column count is wrong, a part, kind or form is unknown, or slots differ between languages.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["\t".join(("part", *LANGUAGES))]:
        raise UserError("wrong header", file=path, line=1, remedy=f"write part, {', '.join(LANGUAGES)}, tab-separated")
    return [_frame(line, path, number, domain) for number, line in enumerate(lines[1:], start=2)]


def _frame(line: str, path: Traversable, number: int, domain: str) -> Frame:
    def fail(problem: str, remedy: str, key: str | None = None) -> UserError:
        return UserError(problem, file=path, line=number, key=key, remedy=remedy)

    part, *texts = line.split("\t")
    if part not in PARTS or len(texts) != len(LANGUAGES):
        raise fail(
            f"a frame needs a part and {len(LANGUAGES)} sentences", f"write train or eval, then {', '.join(LANGUAGES)}"
        )
    pieces: dict[str, tuple[str | Slot, ...]] = {}
    for language, text in zip(LANGUAGES, texts, strict=True):
        parts = _SLOT.split(text)
        if any(c in literal for literal in parts[0::4] for c in "{}"):
            raise fail("a brace outside a slot", "write {KIND}, {KIND#2} or {KIND|gen}", language)
        mixed: list[str | Slot] = [parts[0]]
        for kind, copy, form, literal in zip(parts[1::4], parts[2::4], parts[3::4], parts[4::4], strict=True):
            if kind not in KINDS and (kind not in FREE or "." in kind):
                raise fail(f"unknown kind {kind}", f"use one of {', '.join(KINDS)} or NUM, YEAR, TIME, PCT", language)
            if form and (form != "gen" or kind not in _GENITIVE or language not in ("de", "nl")):
                raise fail(f"no form {form} of {kind}", "use |gen in de and nl, on names that inflect", language)
            mixed += [Slot(kind, int(copy or 1), form or ""), literal]
        pieces[language] = tuple(mixed)
    frame = Frame(f"{domain}-{number - 1:03}", domain, part, pieces)
    expected = Counter(slot[:2] for slot in frame.slots())
    for language in LANGUAGES[1:]:
        counts = Counter(slot[:2] for slot in frame.slots(language))
        if odd := sorted((expected - counts) + (counts - expected)):
            raise fail(f"slots {odd} are not as often as in en", "give all languages the same slots", language)
    return frame


@cache
def _all_frames() -> tuple[Frame, ...]:
    folder = files("xner_ray.sample").joinpath("frames")
    paths = sorted((path for path in folder.iterdir() if path.name.endswith(".tsv")), key=lambda path: path.name)
    return tuple(frame for path in paths for frame in parse_frames(path, path.name.removesuffix(".tsv")))


def frames(part: str) -> list[Frame]:
    """The frames of `train` or `eval`, by domain, then in file order."""
    if part not in PARTS:
        raise UserError(f"unknown part {part!r}", remedy=f"use one of {', '.join(PARTS)}")
    return [frame for frame in _all_frames() if frame.part == part]
