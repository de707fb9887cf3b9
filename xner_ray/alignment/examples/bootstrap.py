"""Bootstrapped examples: spans of parallel text that the untrained similarity aligns the same way in both directions.

A source span and its target span agree when each is the projection of the other, every matched token of the source span
matches into the target span, and the score is above a floor. About half of the spans agree; the others are what the trained
aligner is for. This trades coverage for clean labels, and there is far more parallel text than an aligner needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.examples.combine import NameAndSentence, name_and_sentence
from xner_ray.alignment.examples.example import PHRASE, Example
from xner_ray.alignment.examples.inner_names import continues_as_organization, outermost
from xner_ray.alignment.examples.noun_phrases import capitalized_spans, noun_phrases
from xner_ray.alignment.similarity import Similarity
from xner_ray.alignment.span_cleanup import clean_edges
from xner_ray.alignment.span_expansion import MAX_EXPANSION_WORDS, project_spans
from xner_ray.alignment.spans import Spans, touched_tokens, touched_words
from xner_ray.alignment.token_matches import TokenMatches
from xner_ray.encoders.ragged import ranges
from xner_ray.encoders.row_guard import without_failing_rows
from xner_ray.ner.word_spans import WordSpans
from xner_ray.text.languages import get_language

BOOTSTRAP = "bootstrap"  # key of `aligner.example_sources`
MIN_SCORE = 0.5  # mean similarity of the matched tokens, times the ratio of tokens that match
MAX_PHRASES = 4  # noun phrases tried in a pair
MAX_EXAMPLES_PER_NAME = 10  # more examples of one name teach little
MAX_ONE_WORD_RATIO = 0.25  # of the noun phrases; phrases of one word agree most often, and are the easiest
CHUNK_PAIRS = 1000  # pairs tried at a time


@dataclass(frozen=True)
class AlignedSpans:
    """Spans of sentence pairs that are each other's projection.

    Attributes:
        source: spans in the sources.
        target: the projection of each in the targets.
        kinds: str [spans], entity type or PHRASE.
    """

    source: Spans
    target: Spans
    kinds: np.ndarray


def bidirectional_agreement(
    similarity: Similarity,
    sources: Sequence[str],
    targets: Sequence[str],
    entities: pa.Array,
    language: str,
    random: np.random.Generator,
    source_language: str = "en",
) -> AlignedSpans:
    """Align entities and noun phrases of the sources, and keep those that agree in both directions.

    Args:
        similarity: aligns the tokens.
        sources, targets: raw strings, one of each for a pair.
        entities: schema.ENTITIES lists of the sources.
        language: of the targets, ISO 639-1.
        random: draws the noun phrases.
        source_language: of the sources, ISO 639-1.
    """
    source, kinds = _entities_and_phrases(sources, entities, source_language, random)
    matches = similarity.match(sources, targets)
    source_words = WordSpans.from_texts(sources, source_language)
    target, scores = project_spans(
        matches,
        WordSpans.from_texts(targets, language),
        pa.array(targets, pa.string()),
        source,
        max_expansion_words=MAX_EXPANSION_WORDS,
    )
    if not get_language(language).uses_spaces:
        target = clean_edges(targets, target)
    back, _ = project_spans(matches.reversed(), source_words, pa.array(sources, pa.string()), target)
    agrees = (target.starts < target.ends) & (scores >= MIN_SCORE) & _is_closed(matches, source, target)
    agrees &= (back.starts == source.starts) & (back.ends == source.ends) & _is_whole_words(source_words, source)
    return AlignedSpans(source.take(agrees), target.take(agrees), kinds[agrees])


def _entities_and_phrases(
    sources: Sequence[str], entities: pa.Array, language: str, random: np.random.Generator
) -> tuple[Spans, np.ndarray]:
    """Spans of the entities, and of noun phrases that overlap no entity, with their kinds."""
    found: list[tuple[int, int, int, str]] = []
    for row, (text, row_entities) in enumerate(zip(sources, entities.to_pylist(), strict=True)):
        found += [(row, e["start"], e["end"], e["type"]) for e in row_entities]
        phrases = capitalized_spans(text, language)[:1] + _draw_phrases(noun_phrases(text, language), random)
        free = [(a, b) for a, b in phrases if all(b <= e["start"] or e["end"] <= a for e in row_entities)]
        found += [(row, a, b, PHRASE) for a, b in dict.fromkeys(free)]
    rows, starts, ends = (np.array([f[i] for f in found], np.int64) for i in range(3))
    return Spans(rows, starts, ends), np.array([f[3] for f in found], dtype=object)


def _draw_phrases(spans: list[tuple[int, int]], random: np.random.Generator) -> list[tuple[int, int]]:
    """A few spans, drawn with their length as weight, because short phrases are many and easy."""
    if not spans:
        return []
    weights = np.array([b - a for a, b in spans], float)
    return [spans[i] for i in random.choice(len(spans), min(MAX_PHRASES, len(spans)), False, weights / weights.sum())]


def _is_whole_words(words: WordSpans, spans: Spans) -> np.ndarray:
    """bool [spans], whether each starts where a word starts and ends where a word ends."""
    first, last = touched_words(words, spans)
    is_filled = first < last
    first, last = np.minimum(first, max(0, len(words.starts) - 1)), np.maximum(last - 1, 0)
    return is_filled & (words.starts[first] == spans.starts) & (words.ends[last] == spans.ends)


def _is_closed(matches: TokenMatches, source: Spans, target: Spans) -> np.ndarray:
    """bool [spans], whether no token of the source span matches outside the target span."""
    first, last = touched_tokens(matches.source, source)
    span_ids = np.repeat(np.arange(len(source)), last - first)
    matched = matches.mutual[ranges(first, last - first)]
    span_ids, matched = span_ids[matched >= 0], matched[matched >= 0]
    starts, ends = matches.target.starts[matched], matches.target.ends[matched]
    is_outside = (ends <= target.starts[span_ids]) | (starts >= target.ends[span_ids])
    return np.bincount(span_ids[is_outside], minlength=len(source)) == 0


def bootstrap_examples(
    similarity: Similarity,
    table: pa.Table,
    language: str,
    num_examples: int,
    noun_phrase_ratio: float,
    random: np.random.Generator,
    source_language: str = "en",
    skipped: Counter[str] | None = None,
    known: Collection[NameAndSentence] = (),
) -> tuple[list[Example], dict[str, int]]:
    """Draw examples from the pairs of a table, chunk by chunk until there are enough.

    Args:
        similarity: aligns the pairs.
        table: columns `source`, `target` and `entities`.
        language: of the targets, ISO 639-1.
        num_examples: wanted number.
        noun_phrase_ratio: of the examples that are noun phrases.
        random: draws the noun phrases.
        source_language: ISO 639-1.
        skipped: counts the pairs on which the similarity raises an error, by reason. They give no example.
        known: names and sentences of other examples. Examples of them are further ones, to be merged with the others.

    Returns:
        The examples, entities first, the further ones last. How many entities and noun phrases are missing, where they are.
    """
    phrase_quota = round(num_examples * noun_phrase_ratio)
    entities: list[Example] = []
    phrases: list[Example] = []
    further: list[Example] = []
    name_counts: Counter[str] = Counter()
    num_one_word = 0
    for start in range(0, table.num_rows, CHUNK_PAIRS):
        if len(phrases) >= phrase_quota and len(entities) >= num_examples - phrase_quota:
            break
        chunk = table.slice(start, CHUNK_PAIRS)
        if len(phrases) >= phrase_quota:  # a pair without an entity gives nothing more
            chunk = chunk.filter(pc.greater(pc.list_value_length(chunk.column("entities")), 0))
        guarded = without_failing_rows(
            partial(_chunk_examples, similarity, chunk, language, source_language, random, random.bit_generator.state),
            chunk.num_rows,
        )
        if skipped is not None:
            skipped.update(guarded.faults.values())
        for example in guarded.result:
            if name_and_sentence(example) in known:
                further.append(example)
                continue
            is_phrase = example.kind == PHRASE
            is_one_word = is_phrase and " " not in example.name
            name_counts[example.name] += 1
            num_one_word += is_one_word
            if name_counts[example.name] <= MAX_EXAMPLES_PER_NAME and (
                not is_one_word or num_one_word <= MAX_ONE_WORD_RATIO * phrase_quota
            ):
                (phrases if is_phrase else entities).append(example)
    entity_quota = num_examples - phrase_quota
    lacking = {"entities": entity_quota - len(entities), "noun phrases": phrase_quota - len(phrases)}
    examples = entities[:entity_quota] + phrases[:phrase_quota] + further
    return examples, {name: number for name, number in lacking.items() if number > 0}


def _chunk_examples(
    similarity: Similarity,
    chunk: pa.Table,
    language: str,
    source_language: str,
    random: np.random.Generator,
    state: Mapping[str, Any],
    rows: np.ndarray,
) -> list[Example]:
    """`_agreed_examples` of rows of a chunk. Each call draws the same phrases for the same rows."""
    random.bit_generator.state = state
    return _agreed_examples(similarity, chunk.take(pa.array(rows)), language, source_language, random)


def _agreed_examples(
    similarity: Similarity, table: pa.Table, language: str, source_language: str, random: np.random.Generator
) -> list[Example]:
    """Examples of the spans that agree. Mentions of one name in one sentence are one example."""
    sources, targets = table.column("source").to_pylist(), table.column("target").to_pylist()
    entities = table.column("entities").combine_chunks()
    aligned = bidirectional_agreement(similarity, sources, targets, entities, language, random, source_language)
    source, target = aligned.source, aligned.target
    spans: dict[tuple[int, str], set[tuple[int, int]]] = {}
    kinds: dict[tuple[int, str], str] = {}
    columns = (source.rows, source.starts, source.ends, target.starts, target.ends, aligned.kinds)
    for row, start, end, target_start, target_end, kind in zip(*(c.tolist() for c in columns), strict=True):
        key = row, sources[row][start:end]
        kinds[key] = kind if kinds.get(key, PHRASE) == PHRASE else kinds[key]
        found = spans.setdefault(key, set())
        found.update(equal_spans(targets[row], target_start, target_end, language))
    names_of_row: dict[int, set[tuple[int, int]]] = {}
    for (row, name), found in spans.items():
        if kinds[row, name] != PHRASE:
            names_of_row.setdefault(row, set()).update(found)
    for (row, _), found in spans.items():
        found.intersection_update(outermost(found, names_of_row.get(row, ())))
    return [
        Example(name, targets[row], tuple(sorted(found)), language, BOOTSTRAP, kinds[row, name], sources[row])
        for (row, name), found in spans.items()
        if found and all(a[1] <= b[0] for a, b in pairwise(sorted(found)))
    ]


def equal_spans(text: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    """Occurrences of a span's text as whole words, without overlap. The aligner must find all of them.

    The 中国 of 中国银行 is no occurrence, unless it is the given span.

    Returns:
        Half-open character spans, sorted; the given span is among them.
    """
    surface, position, uses_spaces = text[start:end], -1, get_language(language).uses_spaces
    found: list[tuple[int, int]] = []
    while (position := text.find(surface, position + 1)) >= 0:
        after = position + len(surface)
        is_part_of_word = text[position - 1 : position].isalnum() or text[after : after + 1].isalnum()
        if uses_spaces:
            is_whole = position == start or not is_part_of_word
        else:
            is_whole = position == start or not continues_as_organization(text, after, language)
        if is_whole and (not found or found[-1][1] <= position):
            found.append((position, after))
    return found if (start, end) in found else [(start, end)]
