"""What all example sources share: one example for each name of a sentence, with its type, and names that are negatives.

Without it, two sources or two spellings of one name (`Berlin`, `Berlins`) would be two examples, each of which calls the spans
of the other one wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from xner_ray.alignment.examples.example import PHRASE, CharSpans, Example
from xner_ray.encoders.row_guard import Guarded, without_failing_rows

Tag = Callable[[list[str]], Sequence[Sequence[tuple]]]  # texts to entities (start, end, type, ...)
NameAndSentence = tuple[str, str]
SAME_KIND_DRAWS = 8  # before a name of any kind


def name_and_sentence(example: Example) -> NameAndSentence:
    """What two examples have in common that must be one example."""
    return example.name.casefold(), example.sentence


def merge_examples(examples: Sequence[Example]) -> list[Example]:
    """Join positives of one name and sentence. The first one gives the source, the first entity type is the kind.

    Args:
        examples: with spans. Of overlapping spans the first example's stay.
    """
    merged: dict[NameAndSentence, Example] = {}
    for example in examples:
        first = merged.setdefault(name_and_sentence(example), example)
        if first is not example:
            kind = example.kind if first.kind in ("", PHRASE) and example.kind else first.kind
            spans = add_spans(first.spans, example.spans)
            text = first.source_text or example.source_text
            merged[name_and_sentence(example)] = replace(first, kind=kind, spans=spans, source_text=text)
    return list(merged.values())


def add_spans(spans: CharSpans, more: CharSpans) -> CharSpans:
    """Return sorted spans: all of `spans`, and those of `more` that overlap none of the others."""
    result = list(spans)
    for start, end in more:
        if all(end <= a or b <= start for a, b in result):
            result.append((start, end))
    return tuple(sorted(result))


def with_kinds(examples: Sequence[Example], tag: Tag) -> tuple[list[Example], dict[int, str]]:
    """Give examples without a type that of the tagged entity which has the most characters of their spans.

    Args:
        examples: those of the bootstrap and of a translator have a type.
        tag: finds entities in the target language.

    Returns:
        The examples. The reason why the tagger fails on a sentence, by its number among the sentences to tag.
    """
    missing = [i for i, e in enumerate(examples) if not e.kind and e.spans]
    if not missing:
        return list(examples), {}
    found: Guarded = without_failing_rows(
        lambda rows: tag([examples[missing[i]].sentence for i in rows]), len(missing)
    )
    result = list(examples)
    for row, entities in zip(found.rows.tolist(), found.result, strict=True):
        example = examples[missing[row]]
        shared: dict[str, int] = {}
        for start, end, kind, *_ in entities:
            shared[kind] = shared.get(kind, 0) + sum(max(0, min(end, b) - max(start, a)) for a, b in example.spans)
        best = max(shared, key=lambda kind: shared[kind], default="")
        if best and shared[best]:
            result[missing[row]] = replace(example, kind=best)
    return result, found.faults


def draw_negatives(positives: Sequence[Example], num_negatives: int, random: np.random.Generator) -> list[Example]:
    """Combine sentences of positives with names of other positives, of the same kind where one fits.

    A name fits a sentence when neither side of the sentence contains it, the target does not contain a known translation of it,
    and it contains no name of the sentence.

    Args:
        positives: examples with spans.
        num_negatives: wanted number. There are fewer where not enough names fit.
        random: draws sentences and names.
    """
    names_of_kind: dict[str, list[str]] = {}
    names_of_sentence: dict[str, list[str]] = {}
    translations: dict[str, set[str]] = {}
    for e in positives:
        names_of_kind.setdefault(e.kind, []).append(e.name)
        names_of_sentence.setdefault(e.sentence, []).append(e.name.casefold())
        translations.setdefault(e.name.casefold(), set()).update(e.sentence[a:b].casefold() for a, b in e.spans)
    all_names = [e.name for e in positives]
    negatives: list[Example] = []
    for _ in range(4 * num_negatives if positives else 0):
        if len(negatives) == num_negatives:
            break
        e = positives[int(random.integers(len(positives)))]
        target = e.sentence.casefold()
        text = f"{e.source_text.casefold()}\n{target}"
        for names in (*[names_of_kind[e.kind]] * SAME_KIND_DRAWS, all_names):
            name = names[int(random.integers(len(names)))]
            folded = name.casefold()
            is_in_text = folded in text or any(translation in target for translation in translations[folded])
            if not is_in_text and not any(other in folded for other in names_of_sentence[e.sentence]):
                negatives.append(Example(name, e.sentence, (), e.language, e.example_source, e.kind, e.source_text))
                break
    return negatives
