"""Noun phrases and nominals as examples, with names from a translator, as in the paper.

The project has no parser of target languages, and lists of function words of few languages. So short runs of target words are
translated. A run whose translation is a noun phrase of the source sentence is an example. Runs of one word are the paper's
nominals (`Regierung`, government).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from xner_ray.alignment.examples.bootstrap import equal_spans
from xner_ray.alignment.examples.combine import NameAndSentence
from xner_ray.alignment.examples.example import PHRASE, Example
from xner_ray.alignment.examples.example_sources import TRANSLATOR, translate_distinct
from xner_ray.alignment.examples.noun_phrases import noun_phrases
from xner_ray.alignment.examples.translator import Translate
from xner_ray.text.words import tokenize_words

MAX_PHRASE_WORDS = 4  # of a run that is translated; longer runs seldom have the words of the source
MAX_RUNS_PER_PAIR = 4
RUNS_PER_PHRASE = 12  # runs translated for each wanted phrase; most are no noun phrase, or are translated differently
MAX_NOMINAL_RATIO = 0.5  # of the noun phrases; runs of one word agree most often, and are the easiest
_EDGES = " \t.,;:!?\"'“”„«»()。，、；：！？「」《》"


def translated_phrases(
    mentions: Sequence[Sequence[tuple]],
    sources: Sequence[str],
    targets: Sequence[str],
    translate: Translate,
    language: str,
    source_language: str,
    num_examples: int,
    random: np.random.Generator,
    known: Collection[NameAndSentence] = (),
    skipped: Counter[str] | None = None,
) -> list[Example]:
    """Noun phrases and nominals: runs of words outside of mentions, whose translation is a noun phrase of the source.

    Args:
        mentions: character spans in each target that no run overlaps: (start, end, ...).
        sources, targets: raw strings, one of each for a pair.
        translate: from the target language to the source language. It gets each distinct run once.
        language: of the targets, ISO 639-1.
        source_language: ISO 639-1.
        num_examples: wanted number. There are fewer where too few translations agree.
        random: draws the runs.
        known: names and sentences that already are examples, see `name_and_sentence`.
        skipped: counts the runs on which the translator raises an error, by reason.
    """
    runs: list[tuple[int, int, int]] = []
    for row, (target, entities) in enumerate(zip(targets, mentions, strict=True)):
        if len(runs) >= RUNS_PER_PHRASE * num_examples:
            break
        runs += [(row, a, b) for a, b in _draw_runs(target, language, [(e[0], e[1]) for e in entities], random)]
    names = translate_distinct((targets[row][a:b] for row, a, b in runs), translate, skipped)
    examples: list[Example] = []
    seen, num_nominals = set(known), 0
    for row, a, b in runs:
        source, target = sources[row], targets[row]
        translation = names.get(target[a:b], "").strip(_EDGES).casefold()
        phrases = {source[x:y].casefold(): source[x:y] for x, y in noun_phrases(source, source_language)}
        is_nominal = len(tokenize_words(translation, source_language)) == 1
        if translation not in phrases or (translation, target) in seen:
            continue
        if is_nominal and num_nominals >= MAX_NOMINAL_RATIO * num_examples:
            continue
        seen.add((translation, target))
        num_nominals += is_nominal
        spans = tuple(equal_spans(target, a, b, language))
        examples.append(Example(phrases[translation], target, spans, language, TRANSLATOR, PHRASE, source))
    return examples[:num_examples]


def _draw_runs(
    text: str, language: str, taken: Sequence[tuple[int, int]], random: np.random.Generator
) -> list[tuple[int, int]]:
    """A few runs of words with letters, of one word to `MAX_PHRASE_WORDS`, that overlap no taken span and no other run."""
    words = tokenize_words(text, language)
    # A digit or a mark is in no phrase.
    is_free = [any(map(str.isalpha, text[a:b])) and all(b <= c or d <= a for c, d in taken) for a, b in words]
    runs = [
        (words[i][0], words[j][1])
        for i in range(len(words))
        for j in range(i, min(i + MAX_PHRASE_WORDS, len(words)))
        if all(is_free[i : j + 1])
    ]
    drawn: list[tuple[int, int]] = []
    for i in random.permutation(len(runs)).tolist():
        if len(drawn) == MAX_RUNS_PER_PAIR:
            break
        if all(runs[i][1] <= a or b <= runs[i][0] for a, b in drawn):
            drawn.append(runs[i])
    return drawn
