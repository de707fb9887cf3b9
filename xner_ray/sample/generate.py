"""Endless sentence pairs from frames and names, any of them by its number alone.

Pair i needs none of the pairs before it, so a run can start, skip or split anywhere, and i means the same English
sentence whatever the other language. The price is a keyed permutation per choice (about a microsecond each) instead of a
random generator. Numbers come in epochs that double in length; in each, every frame has a quota that its own number of
distinct fillings pays for, so short frames thin out before they repeat themselves.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import accumulate, count
from typing import NamedTuple

from xner_ray.errors import UserError
from xner_ray.sample.inflect import capitalise, genitive, spanish_conjunction
from xner_ray.sample.names import KINDS, LANGUAGES, PARTS, Value, values

FIRST_EPOCH = 4096
PLAIN_SHARE = 0.15  # of sentences without an entity, as long as their frames last
FREE = {
    "NUM": tuple(str(n) for n in range(2, 999)),  # from 2: every frame writes the plural
    "YEAR": tuple(str(n) for n in range(1950, 2026)),
    "TIME": tuple(f"{minute // 60:02}:{minute % 60:02}" for minute in range(6 * 60, 23 * 60, 5)),  # es: "a las" needs > 1
    "PCT": tuple(str(n) for n in range(2, 99)),
}
# A number stays believable next to its English unit: nobody works 500 years for one company.
UNITS = {"years": 60, "months": 60, "weeks": 60, "times": 60, "hours": 180, "minutes": 180}
FREE |= {f"NUM.{unit}": tuple(str(n) for n in range(2, top)) for unit, top in UNITS.items()}
_UNIT = re.compile(rf" (?:\w+ )?({'|'.join(UNITS)})\b")
_SLOT = re.compile(r"\{([A-Za-z.]+)(?:#(\d+))?(?:\|(\w+))?\}")
_OPENS = re.compile(r"(?:^|[.!?…][\"“”»]? |: )[\"„“«¿¡]*$")  # what stands before a word that takes a capital
_GENITIVE = ("PER.full", "PER.last", "LOC.city", "LOC.country", "LOC.region", "ORG.ministry", "MISC.prize")


class Span(NamedTuple):
    """Characters [start, end) of a sentence that name an entity of `type` (PER, ORG, LOC, MISC)."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class SamplePair:
    """Pair number `index`: English source, target, the entities of both sides in order of appearance."""

    index: int
    source: str
    target: str
    source_entities: tuple[Span, ...]
    target_entities: tuple[Span, ...]
    domain: str
    frame: str


class Slot(NamedTuple):
    kind: str
    number: int
    form: str

    @property
    def variable(self) -> tuple[str, int]:
        """What the slot stands for: PER.full#1 and PER.last#1 are one person."""
        return ("PER" if self.kind.startswith("PER") else self.kind), self.number


@dataclass(frozen=True)
class Frame:
    """One sentence in all languages: per language, literals and slots in turn (literal, slot, literal, ..., literal)."""

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
    """All frames of a file, checked.

    Raises:
        UserError: wrong header or column count, unknown part, kind or form, slots that differ between languages.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines[:1] != ["\t".join(("part", *LANGUAGES))]:
        raise UserError("wrong header", file=path, line=1, remedy="write part, en, de, es, nl, zh, tab-separated")
    return [_frame(line, path, number, domain) for number, line in enumerate(lines[1:], start=2)]


def _frame(line: str, path: Traversable, number: int, domain: str) -> Frame:
    def fail(problem: str, remedy: str, key: str | None = None) -> UserError:
        return UserError(problem, file=path, line=number, key=key, remedy=remedy)

    part, *texts = line.split("\t")
    if part not in PARTS or len(texts) != len(LANGUAGES):
        raise fail("a frame needs a part and five sentences", "write train or eval, then en, de, es, nl, zh")
    pieces: dict[str, tuple[str | Slot, ...]] = {}
    for language, text in zip(LANGUAGES, texts, strict=True):
        found = _SLOT.split(text)
        if any(c in literal for literal in found[0::4] for c in "{}"):
            raise fail("a brace outside a slot", "write {KIND}, {KIND#2} or {KIND|gen}", language)
        mixed: list[str | Slot] = [found[0]]
        for kind, copy, form, literal in zip(found[1::4], found[2::4], found[3::4], found[4::4], strict=True):
            if kind not in KINDS and (kind not in FREE or "." in kind):
                raise fail(f"unknown kind {kind}", f"use one of {', '.join(KINDS)} or NUM, YEAR, TIME, PCT", language)
            if form and (form != "gen" or kind not in _GENITIVE or language not in ("de", "nl")):
                raise fail(f"no form {form} of {kind}", "use |gen in de and nl, on names that inflect", language)
            mixed += [Slot(kind, int(copy or 1), form or ""), literal]
        pieces[language] = tuple(mixed)
    frame = Frame(f"{domain}-{number - 1:03}", domain, part, pieces)
    wanted = Counter(slot[:2] for slot in frame.slots())
    for language in LANGUAGES[1:]:
        if (got := Counter(slot[:2] for slot in frame.slots(language))) != wanted:
            raise fail(f"slots {sorted((wanted - got) + (got - wanted))} differ from en", "repeat en's slots", language)
    return frame


@lru_cache(maxsize=None)
def _all_frames() -> tuple[Frame, ...]:
    folder = files("xner_ray.sample").joinpath("frames")
    found = sorted((path for path in folder.iterdir() if path.name.endswith(".tsv")), key=lambda path: path.name)
    return tuple(frame for path in found for frame in parse_frames(path, path.name.removesuffix(".tsv")))


def frames(part: str) -> list[Frame]:
    """The frames of `train` or `eval`, by domain, then in file order."""
    if part not in PARTS:
        raise UserError(f"unknown part {part!r}", remedy=f"use one of {', '.join(PARTS)}")
    return [frame for frame in _all_frames() if frame.part == part]


class Shuffle:
    """A keyed bijection of range(size): multiply and xor-shift on the next power of two, walked back into range."""

    def __init__(self, size: int, key: str):
        self.size, bits = size, max(2, (size - 1).bit_length())
        self.mask, self.shift = (1 << bits) - 1, (bits + 1) // 2
        drawn = [int.from_bytes(blake2b(f"{key}/{n}".encode(), digest_size=16).digest()) for n in range(6)]
        self.odd = [(number | 1) & self.mask for number in drawn[:3]]
        self.add = [number & self.mask for number in drawn[3:]]

    def __call__(self, index: int) -> int:
        (a, b, c), (d, e, f), mask, shift = self.odd, self.add, self.mask, self.shift
        while True:
            index = (index * a + d) & mask
            index = ((index ^ (index >> shift)) * b + e) & mask
            index = ((index ^ (index >> shift)) * c + f) & mask
            index ^= index >> shift
            if index < self.size:
                return index


class _Choices:
    """What one variable of a frame ranges over: surfaces, or people; and which of them share a group."""

    def __init__(self, kind: str, part: str):
        self.values = tuple(Value("", dict.fromkeys(LANGUAGES, text), {}) for text in FREE.get(kind, ()))
        self.values = self.values or values(kind, part)
        self.groups: dict[str, tuple[int, int]] = {}  # name -> [start, end)
        for position, value in enumerate(self.values):
            name = value.group or value.text["en"]
            self.groups[name] = (self.groups.get(name, (position,))[0], position + 1)
        self.names = [value.group or value.text["en"] for value in self.values]
        self.widest = max(end - start for start, end in self.groups.values())


_choices = lru_cache(maxsize=None)(_Choices)


@lru_cache(maxsize=None)
def _surfaces(kind: str, part: str, again: bool, language: str, form: str, capital: bool) -> tuple[str, ...]:
    found = [(value.last if again else value.text)[language] for value in _choices(kind, part).values]
    if form:
        found = [genitive(text, language) for text in found]
    return tuple(capitalise(text) if capital else text for text in found)


class Piece(NamedTuple):
    """A slot ready to be written: the text before it (one, or one for each value), its surfaces, its type or None."""

    before: str
    befores: tuple[str, ...] | None
    variable: int
    surfaces: tuple[str, ...]
    type: str | None


class _Filler:
    """A frame with its variables, able to count its fillings and to write the n-th of them."""

    def __init__(self, frame: Frame, key: str):
        self.frame = frame
        full = {slot.variable for slot in frame.slots() if slot.kind == "PER.full"}
        self.kinds: dict[tuple[str, int], str] = {}  # variable -> kind it is drawn from
        for slot in frame.slots():
            self.kinds[slot.variable] = "PER.full" if slot.variable in full else slot.kind
        english = frame.pieces["en"]
        for slot, literal in zip(english[1::2], english[2::2], strict=True):
            if isinstance(slot, Slot) and slot.kind == "NUM" and (unit := _UNIT.match(str(literal))):
                self.kinds[slot.variable] = f"NUM.{unit[1]}"
        self.choices = [_choices(kind, frame.part) for kind in self.kinds.values()]
        self.rivals = []  # earlier variables that must not take the same value or group
        self.sizes = []
        for n, ((name, _), choice) in enumerate(zip(self.kinds, self.choices, strict=True)):
            self.rivals.append([m for m, (other, _) in enumerate(list(self.kinds)[:n]) if other == name])
            self.sizes.append(len(choice.values) - len(self.rivals[-1]) * choice.widest)
        self.capacity = 1
        for size in self.sizes:
            self.capacity *= size
        self.shuffle = Shuffle(self.capacity, f"{key}/{frame.id}")
        self.compiled = {language: self._compile(language) for language in LANGUAGES}

    def _compile(self, language: str) -> tuple[list[Piece], str]:
        order = list(self.kinds)
        mixed = self.frame.pieces[language]
        compiled, written = [], ""
        for literal, slot in zip(mixed[0::2], mixed[1::2], strict=False):
            assert isinstance(literal, str) and isinstance(slot, Slot)
            written += literal
            kind = self.kinds[slot.variable]
            again = kind == "PER.full" and slot.kind == "PER.last"
            opens = language != "zh" and _OPENS.search(written) is not None
            surfaces = _surfaces(kind, self.frame.part, again, language, slot.form, opens)
            befores = None
            if language == "es" and (match := re.search(r"(?<= )([yo]) $", literal)):
                stem = literal[: match.start()]
                befores = tuple(f"{stem}{spanish_conjunction(match[1], text)} " for text in surfaces)
            entity = None if slot.kind in FREE else slot.kind.split(".")[0]
            compiled.append(Piece(literal, befores, order.index(slot.variable), surfaces, entity))
            written += "x"
        tail = mixed[-1]
        assert isinstance(tail, str)
        return compiled, tail

    def choose(self, n: int) -> list[int]:
        """The n-th filling, one position for each variable; distinct n give distinct fillings up to the capacity."""
        rest = self.shuffle(n % self.capacity)
        chosen: list[int] = []
        for choice, size, rivals in zip(self.choices, self.sizes, self.rivals, strict=True):
            rest, position = divmod(rest, size)
            if rivals:
                taken = (choice.groups.get(self.choices[m].names[chosen[m]]) for m in rivals)
                for start, end in sorted(group for group in taken if group):
                    if position >= start:
                        position += end - start
            chosen.append(position)
        return chosen

    def write(self, language: str, chosen: Sequence[int]) -> tuple[str, tuple[Span, ...]]:
        compiled, tail = self.compiled[language]
        parts, spans, length = [], [], 0
        for before, befores, variable, surfaces, entity in compiled:
            position = chosen[variable]
            if befores is not None:
                before = befores[position]
            surface = surfaces[position]
            parts += (before, surface)
            length += len(before) + len(surface)
            if entity is not None:
                spans.append(Span(length - len(surface), length, entity))
        parts.append(tail)
        return "".join(parts), tuple(spans)


def _share(amount: int, room: list[int]) -> list[int]:
    """Give `amount` to buckets as evenly as their room allows (water-filling); what does not fit is not given."""
    given = [0] * len(room)
    for done, n in enumerate(order := sorted(range(len(room)), key=lambda n: (room[n], n))):
        given[n] = min(room[n], amount // (len(order) - done))
        amount -= given[n]
    return given


class Plan:
    """Which frame pair i comes from and which of the frame's fillings it is, for one (part, seed)."""

    def __init__(self, part: str, seed: int | str):
        self.key = f"{seed}/{part}"
        self.fillers = [_Filler(frame, self.key) for frame in frames(part)]
        self.used = [0] * len(self.fillers)
        self.epochs: list[tuple[Shuffle, list[int], list[int]]] = []  # order, cumulative quotas, fillings used before

    def _quotas(self, length: int) -> list[int]:
        room = [max(0, filler.capacity - used) for filler, used in zip(self.fillers, self.used, strict=True)]
        plain = _share(round(PLAIN_SHARE * length), [r * f.frame.plain for r, f in zip(room, self.fillers, strict=True)])
        left = [0 if filler.frame.plain else r for r, filler in zip(room, self.fillers, strict=True)]
        given = [a + b for a, b in zip(plain, _share(length - sum(plain), left), strict=True)]
        # Only when every frame with entities is spent (never below some 10^12 pairs) does the largest start again.
        largest = max(range(len(given)), key=lambda n: self.fillers[n].capacity)
        given[largest] += length - sum(given)
        return given

    def locate(self, index: int) -> tuple[_Filler, int]:
        epoch = (index // FIRST_EPOCH + 1).bit_length() - 1
        while len(self.epochs) <= epoch:
            length = FIRST_EPOCH << len(self.epochs)
            quotas = self._quotas(length)
            order = Shuffle(length, f"{self.key}/epoch-{len(self.epochs)}")
            self.epochs.append((order, list(accumulate(quotas, initial=0)), self.used))
            self.used = [used + quota for used, quota in zip(self.used, quotas, strict=True)]
        order, ends, used = self.epochs[epoch]
        place = order(index - FIRST_EPOCH * ((1 << epoch) - 1))
        n = bisect_right(ends, place) - 1
        return self.fillers[n], used[n] + place - ends[n]


_plan = lru_cache(maxsize=8)(Plan)


def pairs(language: str, part: str, seed: int | str, start: int = 0) -> Iterator[SamplePair]:
    """Endless pairs English-`language` from number `start` on, the same for the same arguments.

    Raises:
        UserError: unknown language or part.
    """
    if language not in LANGUAGES[1:]:
        raise UserError(f"unknown language {language!r}", remedy=f"use one of {', '.join(LANGUAGES[1:])}")
    if part not in PARTS:
        raise UserError(f"unknown part {part!r}", remedy=f"use one of {', '.join(PARTS)}")
    if start < 0:
        raise UserError("pairs are numbered from 0", key="start", remedy="give start >= 0")
    plan = _plan(part, seed)
    return (_pair(plan, language, index) for index in count(start))


def _pair(plan: Plan, language: str, index: int) -> SamplePair:
    filler, n = plan.locate(index)
    chosen = filler.choose(n)
    source, source_entities = filler.write("en", chosen)
    target, target_entities = filler.write(language, chosen)
    return SamplePair(index, source, target, source_entities, target_entities, filler.frame.domain, filler.frame.id)
