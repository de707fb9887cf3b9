"""Endless sentence pairs from frames and names, any of them by its number alone.

Pair i needs none of the pairs before it, so a run can start, skip or split anywhere, and i means the same English
sentence whatever the other language. The price is a keyed permutation for each frame instead of a random generator.
Numbers come in epochs that double in length; in each, every frame has a quota that its own number of distinct fillings
pays for, so short frames thin out before they repeat themselves.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from xner_ray.errors import UserError
from xner_ray.sample.french import agree
from xner_ray.sample.inflect import capitalize, genitive, spanish_conjunction
from xner_ray.sample.names import LANGUAGES, PARTS, Value, values
from xner_ray.sample.template import FREE, UNIT, Frame, Slot, frames
from xner_ray.text.languages import get_language

FIRST_EPOCH = 4096
EPOCHS = 32
END = FIRST_EPOCH * ((1 << EPOCHS) - 1)  # pairs of one sequence, some 10^13
PLAIN_SHARE = 0.15  # of sentences without an entity, as long as their frames last
_OPENS = re.compile(r"(?:^|[.!?…][\"“”»]? |: )[\"„“«¿¡]*$")  # what stands before a word that takes a capital


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


_choices = cache(_Choices)


@cache
def _surfaces(kind: str, part: str, again: bool, language: str, form: str, capital: bool) -> tuple[str, ...]:
    found = [(value.last if again else value.text)[language] for value in _choices(kind, part).values]
    if form:
        found = [genitive(text, language) for text in found]
    return tuple(capitalize(text) if capital else text for text in found)


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
        for piece, literal in zip(english[1::2], english[2::2], strict=True):
            if isinstance(piece, Slot) and piece.kind == "NUM" and (unit := UNIT.match(str(literal))):
                self.kinds[piece.variable] = f"NUM.{unit[1]}"
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
        compiled: list[Piece] = []
        written = ""
        for literal, slot in zip(mixed[0::2], mixed[1::2], strict=False):
            assert isinstance(literal, str) and isinstance(slot, Slot)
            written += literal
            kind = self.kinds[slot.variable]
            again = kind == "PER.full" and slot.kind == "PER.last"
            opens = get_language(language).uses_spaces and _OPENS.search(written) is not None
            surfaces = _surfaces(kind, self.frame.part, again, language, slot.form, opens)
            befores = None
            if language == "es" and (match := re.search(r"(?<= )([yo]) $", literal)):
                stem = literal[: match.start()]
                befores = tuple(f"{stem}{spanish_conjunction(match[1], text)} " for text in surfaces)
            if language == "fr":
                fitted = tuple(agree(literal, text, slot.kind) for text in surfaces)
                befores = fitted if set(fitted) != {literal} else None
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
        parts: list[str] = []
        spans: list[Span] = []
        length = 0
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
        self.epochs: list[tuple[Shuffle, list[int], list[int]]] = []  # order, cumulative quotas, fillings used before
        used = [0] * len(self.fillers)
        for epoch in range(EPOCHS):
            length = FIRST_EPOCH << epoch
            quotas = self._quotas(length, used)
            self.epochs.append((Shuffle(length, f"{self.key}/epoch-{epoch}"), [0, *accumulate(quotas)], used))
            used = [before + quota for before, quota in zip(used, quotas, strict=True)]

    def _quotas(self, length: int, spent: list[int]) -> list[int]:
        room = [max(0, filler.capacity - used) for filler, used in zip(self.fillers, spent, strict=True)]
        of_plain = [r if filler.frame.plain else 0 for r, filler in zip(room, self.fillers, strict=True)]
        of_named = [r - p for r, p in zip(room, of_plain, strict=True)]
        plain = _share(round(PLAIN_SHARE * length), of_plain)
        given = [p + n for p, n in zip(plain, _share(length - sum(plain), of_named), strict=True)]
        # Only when every frame with entities is spent does the largest start again.
        largest = max(range(len(given)), key=lambda n: self.fillers[n].capacity)
        given[largest] += length - sum(given)
        return given

    def locate(self, index: int) -> tuple[_Filler, int]:
        epoch = (index // FIRST_EPOCH + 1).bit_length() - 1
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
    if not 0 <= start < END:
        raise UserError(f"no pair has number {start}", key="start", remedy=f"give a number from 0 to {END - 1}")
    plan = _plan(part, seed)
    return (_pair(plan, language, index) for index in range(start, END))


def _pair(plan: Plan, language: str, index: int) -> SamplePair:
    filler, n = plan.locate(index)
    chosen = filler.choose(n)
    source, source_entities = filler.write("en", chosen)
    target, target_entities = filler.write(language, chosen)
    return SamplePair(index, source, target, source_entities, target_entities, filler.frame.domain, filler.frame.id)
