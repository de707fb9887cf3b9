"""Generation of sentence pairs from frames and names; each pair is computed from its number alone.

A pair does not depend on the pairs before it, so a run can start, skip or split anywhere. Pair i has the same English
sentence for every target language. Each frame needs a keyed permutation for this instead of a random generator.

Numbers are divided into epochs that double in length. In each epoch, every frame has a quota that depends on its number
of distinct fillings, so short frames become rare before they repeat.
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
END = FIRST_EPOCH * ((1 << EPOCHS) - 1)  # pairs of one sequence, about 10^13
NO_ENTITY_RATIO = 0.15  # of sentences without an entity, until the fillings of their frames are used up
_SENTENCE_START = re.compile(r"(?:^|[.!?…][\"“”»]? |: )[\"„“«¿¡]*$")  # the text before a capitalized word


class Span(NamedTuple):
    """An entity of `type` (PER, ORG, LOC, MISC): the characters [start, end) of a sentence."""

    start: int
    end: int
    type: str


@dataclass(frozen=True, slots=True)
class SamplePair:
    """One sentence pair.

    Attributes:
        index: its number.
        source: English sentence.
        target: target sentence.
        source_entities: entities of the source in order of appearance.
        target_entities: entities of the target in order of appearance.
        domain: domain of its frame.
        frame: id of its frame.
    """

    index: int
    source: str
    target: str
    source_entities: tuple[Span, ...]
    target_entities: tuple[Span, ...]
    domain: str
    frame: str


class Shuffle:
    """A keyed permutation of range(size): multiply and xor-shift on the next power of two, repeated until in range."""

    def __init__(self, size: int, key: str):
        self.size, bits = size, max(2, (size - 1).bit_length())
        self.mask, self.shift = (1 << bits) - 1, (bits + 1) // 2
        numbers = [int.from_bytes(blake2b(f"{key}/{n}".encode(), digest_size=16).digest()) for n in range(6)]
        self.odd = [(number | 1) & self.mask for number in numbers[:3]]
        self.add = [number & self.mask for number in numbers[3:]]

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
    """The values of one variable of a frame, and their groups."""

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
def _surfaces(kind: str, part: str, last_name: bool, language: str, form: str, capital: bool) -> tuple[str, ...]:
    surfaces = [(value.last if last_name else value.text)[language] for value in _choices(kind, part).values]
    if form:
        surfaces = [genitive(text, language) for text in surfaces]
    return tuple(capitalize(text) if capital else text for text in surfaces)


class Piece(NamedTuple):
    """A compiled slot.

    Attributes:
        before: the text before it.
        befores: the text before each of its values, if it depends on the value.
        variable: index of its variable.
        surfaces: its values as text.
        type: entity type; None for numbers and times.
    """

    before: str
    befores: tuple[str, ...] | None
    variable: int
    surfaces: tuple[str, ...]
    type: str | None


class _Filler:
    """A frame with its variables, the number of its fillings, and the text of the n-th filling."""

    def __init__(self, frame: Frame, key: str):
        self.frame = frame
        full = {slot.variable for slot in frame.slots() if slot.kind == "PER.full"}
        self.kinds: dict[tuple[str, int], str] = {}  # variable -> kind of its values
        for slot in frame.slots():
            self.kinds[slot.variable] = "PER.full" if slot.variable in full else slot.kind
        english = frame.pieces["en"]
        for piece, literal in zip(english[1::2], english[2::2], strict=True):
            if isinstance(piece, Slot) and piece.kind == "NUM" and (unit := UNIT.match(str(literal))):
                self.kinds[piece.variable] = f"NUM.{unit[1]}"
        self.choices = [_choices(kind, frame.part) for kind in self.kinds.values()]
        self.rivals = []  # earlier variables that must have another value and group
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
            last_name = kind == "PER.full" and slot.kind == "PER.last"
            opens = get_language(language).uses_spaces and _SENTENCE_START.search(written) is not None
            surfaces = _surfaces(kind, self.frame.part, last_name, language, slot.form, opens)
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
        """Return the n-th filling, one position per variable. Below the capacity, all fillings are different."""
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


def _distribute(amount: int, room: list[int]) -> list[int]:
    """Distribute `amount` over buckets as evenly as their capacities allow; an excess is not distributed."""
    given = [0] * len(room)
    for done, n in enumerate(order := sorted(range(len(room)), key=lambda n: (room[n], n))):
        given[n] = min(room[n], amount // (len(order) - done))
        amount -= given[n]
    return given


class Plan:
    """The frame and the filling of each pair, for one part and seed."""

    def __init__(self, part: str, seed: int | str):
        self.key = f"{seed}/{part}"
        self.fillers = [_Filler(frame, self.key) for frame in frames(part)]
        self.epochs: list[
            tuple[Shuffle, list[int], list[int]]
        ] = []  # order, cumulative quotas, fillings used in earlier epochs
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
        plain = _distribute(round(NO_ENTITY_RATIO * length), of_plain)
        given = [p + n for p, n in zip(plain, _distribute(length - sum(plain), of_named), strict=True)]
        # If the fillings of all frames with entities are used up, the largest frame starts again.
        largest = max(range(len(given)), key=lambda n: self.fillers[n].capacity)
        given[largest] += length - sum(given)
        return given

    def locate(self, index: int) -> tuple[_Filler, int]:
        epoch = (index // FIRST_EPOCH + 1).bit_length() - 1
        order, ends, used = self.epochs[epoch]
        position = order(index - FIRST_EPOCH * ((1 << epoch) - 1))
        n = bisect_right(ends, position) - 1
        return self.fillers[n], used[n] + position - ends[n]


_plan = lru_cache(maxsize=8)(Plan)


def pairs(language: str, part: str, seed: int | str, start: int = 0) -> Iterator[SamplePair]:
    """Generate pairs of English and `language`; the same arguments give the same pairs.

    Args:
        language: target language.
        part: `train` or `eval`.
        seed: seed of the sequence.
        start: number of the first pair.

    Raises:
        UserError: the language, the part or the number does not exist.
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
