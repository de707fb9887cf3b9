"""Sentences and names of the sample, for its tests."""

from __future__ import annotations

import itertools
from functools import cache

from xner_ray.sample import names
from xner_ray.sample.generate import SamplePair, Span, pairs
from xner_ray.sample.names import KINDS, LANGUAGES, values

TARGETS = LANGUAGES[1:]
LISTS = ("given", "family", "given_zh", "family_zh", *names.LISTED.values())


@cache
def drawn(language: str, part: str, count: int = 3000) -> list[SamplePair]:
    return list(itertools.islice(pairs(language, part, seed=7), count))


def sides(pair: SamplePair, language: str) -> list[tuple[str, str, tuple[Span, ...]]]:
    return [("en", pair.source, pair.source_entities), (language, pair.target, pair.target_entities)]


@cache
def surfaces(part: str) -> dict[str, set[str]]:
    result: dict[str, set[str]] = {language: set() for language in LANGUAGES}
    for kind, language in itertools.product(KINDS, LANGUAGES):
        for value in values(kind, part):
            result[language] |= {value.text[language]} | ({value.last[language]} if value.last else set())
    return result
