"""The training examples of the aligner for one language: drawn from the example sources, with negatives.

A negative is a name that its sentence does not contain, so that the model must read the name. Most negatives are hard: a name
of the same type from another sentence, of any source. The same seed gives the same examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.examples.bootstrap import BOOTSTRAP, bootstrap_examples
from xner_ray.alignment.examples.combine import Tag, draw_negatives, merge_examples, name_and_sentence, with_kinds
from xner_ray.alignment.examples.example import Example
from xner_ray.alignment.examples.example_sources import (
    FILE,
    LEXICON,
    TRANSLATOR,
    Lexicon,
    lexicon_examples,
    read_examples_file,
    read_lexicon,
    translator_examples,
)
from xner_ray.alignment.examples.translated_phrases import translated_phrases
from xner_ray.alignment.examples.translator import Translate, Translator
from xner_ray.alignment.examples.wikipedia import WIKIPEDIA, wikipedia_examples
from xner_ray.alignment.similarity import Similarity
from xner_ray.config import AlignerConfig
from xner_ray.encoders.row_guard import without_failing_rows
from xner_ray.text.cldr import cldr_translations
from xner_ray.text.languages import get_language

# Of a side; one third of it in Chinese and Japanese (zh 0.33, ja 0.42, th 0.94 of the English length).
MAX_CHARACTERS = 320
NEGATIVE = "negative"  # key of `ExampleReport.counts`


@dataclass
class ExampleReport:
    """Numbers of examples of one language.

    Attributes:
        counts: examples by example source, and NEGATIVE.
        missing: examples that an example source lacks of its quota.
        skipped: pairs and names on which a model raised an error, by reason.
    """

    counts: Counter[str] = field(default_factory=Counter)
    missing: dict[str, int] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)


def build_examples(
    config: AlignerConfig,
    language: str,
    table: pa.Table,
    similarity: Similarity | None,
    seed: int,
    tag: Tag | None = None,
    translate: Translate | None = None,
    load_translator: Callable[[str], Translator] = Translator,
    fill: Callable[[str, str], str] = lambda path, language: path.replace("{language}", language),
    source_language: str = "en",
) -> tuple[list[Example], ExampleReport]:
    """Build the examples of one language.

    Args:
        config: `num_examples`, `negative_ratio`, `noun_phrase_ratio` and the example sources.
        language: of the targets, ISO 639-1.
        table: columns `source`, `target`, `entities`: pairs that the teacher labeled.
        similarity: for the source `bootstrap`.
        seed: of all random choices.
        tag: finds mentions in target text, for the source `translator` and for the types of names. None: names of the sources
            `pairs` and `lexicon` have no type.
        translate: from the target language to the source language, for the same; None: of `config.translator`.
        load_translator: from a folder; the same model may serve several languages.
        fill: fills the language into a path of the config.
        source_language: ISO 639-1.

    Returns:
        The examples, shuffled, and a report. The bootstrap fills up what other sources lack.
    """
    random, report = np.random.default_rng([seed, *language.encode()]), ExampleReport()
    table = _short_pairs(table, language)
    table = table.take(random.permutation(table.num_rows))
    num_positives = round(config.num_examples * (1 - config.negative_ratio))
    weights = {str(name): weight for name, weight in config.example_sources.items() if weight > 0}
    quotas = {name: round(num_positives * weight / sum(weights.values())) for name, weight in weights.items()}
    sources, targets = table.column("source").to_pylist(), table.column("target").to_pylist()

    def file_examples() -> list[Example]:
        return read_examples_file(fill(str(config.examples_file), language), language)

    def from_lexicon() -> list[Example]:
        path = config.lexicon
        entries = read_lexicon(fill(path, language)) if path else cldr_translations(source_language, language)
        return list(islice(lexicon_examples(Lexicon(entries, language), sources, targets), 4 * quotas[LEXICON]))

    def from_translator() -> list[Example]:
        if tag is None:
            raise ValueError("the example source `translator` needs a tagger of the target")
        num_pairs = 2 * quotas[TRANSLATOR] + 10
        found = without_failing_rows(lambda rows: tag([targets[i] for i in rows]), min(num_pairs, len(targets)))
        report.skipped.update(found.faults.values())
        folder = fill(str(config.translator), language)
        translator = translate or load_translator(folder).between(language, source_language)
        pairs = [sources[i] for i in found.rows], [targets[i] for i in found.rows]
        num_phrases = round(quotas[TRANSLATOR] * config.noun_phrase_ratio)
        known = {name_and_sentence(e) for e in positives}
        phrases = translated_phrases(
            found.result, *pairs, translator, language, source_language, num_phrases, random, known, report.skipped
        )
        if len(phrases) < num_phrases:
            report.missing["translated noun phrases"] = num_phrases - len(phrases)
        entities = list(translator_examples(found.result, *pairs, translator, language, report.skipped))
        num_entities = quotas[TRANSLATOR] - len(phrases)
        return phrases + [entities[i] for i in sorted(random.permutation(len(entities))[:num_entities].tolist())]

    def from_wikipedia() -> list[Example]:
        dump, langlinks = (fill(str(x), language) for x in (config.wikipedia_dump, config.wikipedia_langlinks))
        num_phrases = round(quotas[WIKIPEDIA] * config.noun_phrase_ratio)
        found = wikipedia_examples(dump, langlinks, language, source_language, _max_characters(language), num_phrases)
        return list(islice(found, quotas[WIKIPEDIA]))

    positives: list[Example] = []
    makers = {FILE: file_examples, LEXICON: from_lexicon, TRANSLATOR: from_translator, WIKIPEDIA: from_wikipedia}
    for name, make in makers.items():
        if name in quotas:
            examples = make()
            drawn = sorted(random.permutation(len(examples))[: quotas[name]].tolist())
            positives += [examples[i] for i in drawn]
            if len(drawn) < quotas[name]:
                report.missing[name] = quotas[name] - len(drawn)
    positives = merge_examples(positives)
    if BOOTSTRAP in quotas:
        if similarity is None:
            raise ValueError("the example source `bootstrap` needs a Similarity")
        need = num_positives - len(positives)
        known = {name_and_sentence(e) for e in positives}
        ratio, skipped = config.noun_phrase_ratio, report.skipped
        bootstrapped, missing = bootstrap_examples(
            similarity, table, language, need, ratio, random, source_language, skipped, known
        )
        positives = merge_examples([*positives, *bootstrapped])
        report.missing |= missing
    if tag is not None:
        positives, faults = with_kinds(positives, tag)
        report.skipped.update(faults.values())
    num_negatives = round(len(positives) * config.negative_ratio / max(1e-9, 1 - config.negative_ratio))
    examples = positives + draw_negatives(positives, num_negatives, random)
    report.counts.update(e.example_source if e.spans else NEGATIVE for e in examples)
    return [examples[i] for i in random.permutation(len(examples))], report


def _max_characters(language: str) -> int:
    return MAX_CHARACTERS // 3 if get_language(language).logographic else MAX_CHARACTERS


def _short_pairs(table: pa.Table, language: str) -> pa.Table:
    """Pairs with text on both sides that are short enough to be cheap."""
    max_target = _max_characters(language)
    source, target = (pc.utf8_length(table.column(c)) for c in ("source", "target"))
    is_short = pc.and_(pc.less_equal(source, MAX_CHARACTERS), pc.less_equal(target, max_target))
    return table.filter(pc.and_(is_short, pc.and_(pc.greater(source, 0), pc.greater(target, 0))))
