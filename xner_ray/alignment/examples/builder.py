"""The aligner's training examples: a name, a sentence, and where in the sentence the name's translation lies.

A quarter are negatives, a name that the sentence does not hold, so that the model must read the name (METHOD.md); most
of them are hard: a name of the same type from another sentence. The same seed gives the same examples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xner_ray.alignment.examples.bootstrap import bidirectional_agreement
from xner_ray.alignment.examples.example_sources import (
    Found,
    Lexicon,
    Translate,
    from_lexicon,
    from_translator,
    read_lexicon,
    read_pairs,
)
from xner_ray.alignment.similarity import Similarity
from xner_ray.config import AlignerConfig
from xner_ray.text.languages import cldr_translations, get_language

Spans = tuple[tuple[int, int], ...]
Tag = Callable[[list[str]], Sequence[Sequence[tuple]]]  # texts -> entities (start, end, ...)
SAME = 10  # bootstrapped examples of one name in a language: the tenth `Europe` teaches little
SIMPLE = 0.25  # share of the noun phrases that may have one word: they agree most often, and are the easiest
CHUNK = 1000  # pairs tried at a time, until there are enough examples
LONGEST = 320  # characters of a side; a third of that in Chinese and Japanese


@dataclass(frozen=True)
class Example:
    """`spans`: characters of `sentence`, sorted; empty for a negative. `source`: the English side, where it is
    known.
    """

    name: str
    sentence: str
    spans: Spans
    origin: str
    kind: str = ""
    source: str = ""


@dataclass
class Report:
    """How many examples of each origin (and `negative`) there are, and what could not be had."""

    counts: Counter[str] = field(default_factory=Counter)
    pairs_tried: int = 0
    missing: dict[str, int] = field(default_factory=dict)


def build_examples(
    config: AlignerConfig,
    language: str,
    table: pa.Table,
    similarity: Similarity | None,
    seed: int,
    tag: Tag | None = None,
    translate: Translate | None = None,
    fill: Callable[[str, str], str] = lambda path, language: path.replace("{language}", language),
) -> tuple[list[Example], Report]:
    """Examples of one language.

    Args:
        config: how many, of which origins.
        table: columns `source`, `target`, `entities`: pairs that the teacher labeled.
        similarity: for origin `bootstrap`.
        seed: decides on everything that is drawn.
        tag: finds mentions in target text, for origin `translator`.
        translate: turns names into English, for the same; default: the folder `config.translator`.
        fill: puts the language into a path of the config.

    Returns:
        The examples, shuffled, and a report. What an origin cannot give, the bootstrap gives where it can.
    """
    random, report = np.random.default_rng([seed, *language.encode()]), Report()
    table = _usable(table, language)
    table = table.take(random.permutation(table.num_rows))
    wanted = round(config.num_examples * (1 - config.negative_ratio))
    shares = {k: v for k, v in config.example_sources.items() if v > 0}
    quota: dict[str, int] = {
        str(origin): round(wanted * share / sum(shares.values())) for origin, share in shares.items()
    }
    sources, targets = table.column("source").to_pylist(), table.column("target").to_pylist()
    positives: list[Example] = []

    def draw(origin: str, found: Sequence[tuple[int, Found]], known: bool = True) -> None:
        chosen = sorted(random.permutation(len(found))[: quota[origin]].tolist())
        for i in chosen:
            row, (name, sentence, spans) = found[i]
            positives.append(Example(name, sentence, tuple(spans), origin, "", sources[row] if known else ""))
        if len(chosen) < quota[origin]:
            report.missing[origin] = quota[origin] - len(chosen)

    if "pairs" in quota:
        draw("pairs", [(0, pair) for pair in read_pairs(fill(str(config.examples_file), language))], known=False)
    if "lexicon" in quota:
        entries = read_lexicon(fill(config.lexicon, language)) if config.lexicon else cldr_translations("en", language)
        draw("lexicon", _first(from_lexicon(Lexicon(entries, language), sources, targets), 4 * quota["lexicon"]))
    if "translator" in quota:
        draw("translator", _translated(config, language, targets, quota["translator"], tag, translate, fill))
    if "bootstrap" in quota:
        if similarity is None:
            raise ValueError("origin `bootstrap` needs a Similarity")
        need = wanted - len(positives)
        positives += bootstrapped(similarity, table, language, need, config.noun_phrase_ratio, random, report)
    examples = positives + negatives(
        positives, round(len(positives) * config.negative_ratio / max(1e-9, 1 - config.negative_ratio)), random
    )
    report.counts.update(e.origin if e.spans else "negative" for e in examples)
    return [examples[i] for i in random.permutation(len(examples))], report


def _usable(table: pa.Table, language: str) -> pa.Table:
    """Pairs short enough to be cheap."""
    limit = LONGEST if get_language(language).uses_spaces else LONGEST // 3
    source, target = (pc.utf8_length(table.column(c)) for c in ("source", "target"))
    fits = pc.and_(pc.less_equal(source, LONGEST), pc.less_equal(target, limit))
    return table.filter(pc.and_(fits, pc.and_(pc.greater(source, 0), pc.greater(target, 0))))


def _first(items, most: int) -> list:
    return [item for item, _ in zip(items, range(most), strict=False)]


def _translated(config, language, targets, quota, tag, translate, fill) -> list[tuple[int, Found]]:
    from xner_ray.alignment.examples.example_sources import load_translator

    if tag is None:
        raise ValueError("origin `translator` needs a tagger of the target")
    some = targets[: 2 * quota + 10]
    mentions = [[(e[0], e[1]) for e in row] for row in tag(some)]
    return list(from_translator(mentions, some, translate or load_translator(fill(str(config.translator), language))))


def bootstrapped(
    similarity: Similarity,
    table: pa.Table,
    language: str,
    need: int,
    noun_phrases: float,
    random: np.random.Generator,
    report: Report,
) -> list[Example]:
    """Up to `need` examples from the pairs of a table, a share of them noun phrases."""
    quota = {True: round(need * noun_phrases)}
    quota[False] = need - quota[True]
    found: dict[bool, list[Example]] = {True: [], False: []}
    seen: Counter[str] = Counter()
    for at in range(0, table.num_rows, CHUNK):
        if all(len(found[k]) >= quota[k] for k in quota):
            break
        part = table.slice(at, CHUNK)
        if len(found[True]) >= quota[True]:  # pairs without an entity have nothing more to give
            part = part.filter(pc.greater(pc.list_value_length(part.column("entities")), 0))
        for example in _agreed(similarity, part, language, random):
            phrase = example.kind == "phrase"
            simple = "phrase of one word" if phrase and " " not in example.name else ""
            seen.update(filter(None, (example.name, simple)))
            if seen[example.name] <= SAME and (not simple or seen[simple] <= SIMPLE * quota[True]):
                found[phrase].append(example)
        report.pairs_tried += part.num_rows
    for phrase, name in ((False, "entities"), (True, "noun phrases")):
        if len(found[phrase]) < quota[phrase]:
            report.missing[name] = quota[phrase] - len(found[phrase])
    return [e for k in (False, True) for e in found[k][: quota[k]]]


def _agreed(similarity: Similarity, table: pa.Table, language: str, random: np.random.Generator) -> list[Example]:
    """Examples of the spans that agree; mentions of one name in one sentence are one example."""
    sources, targets = table.column("source").to_pylist(), table.column("target").to_pylist()
    entities = table.column("entities").combine_chunks()
    aligned = bidirectional_agreement(similarity, sources, targets, entities, language, random)
    merged: dict[tuple[int, str, str], set[tuple[int, int]]] = {}
    columns = (
        aligned.source.rows,
        aligned.source.starts,
        aligned.source.ends,
        aligned.target.starts,
        aligned.target.ends,
    )
    for row, a, b, c, d, kind in zip(*(x.tolist() for x in (*columns, aligned.kinds)), strict=True):
        merged.setdefault((row, sources[row][a:b], kind), set()).update(equal_spans(targets[row], c, d, language))
    return [
        Example(name, targets[row], tuple(sorted(spans)), "bootstrap", kind, sources[row])
        for (row, name, kind), spans in merged.items()
        if _apart(sorted(spans))
    ]


def _apart(spans: list[tuple[int, int]]) -> bool:
    return all(a[1] <= b[0] for a, b in pairwise(spans))


def equal_spans(text: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    """All places of `text` with the same surface as the span, as whole words: an aligner must find each of them."""
    surface, at, spaced = text[start:end], -1, get_language(language).uses_spaces
    found: list[tuple[int, int]] = []
    while (at := text.find(surface, at + 1)) >= 0:
        after = at + len(surface)
        inner = text[at - 1 : at].isalnum() or text[after : after + 1].isalnum()
        whole = not spaced or at == start or not inner
        if whole and (not found or found[-1][1] <= at):
            found.append((at, after))
    return found if (start, end) in found else [(start, end)]


def negatives(positives: Sequence[Example], count: int, random: np.random.Generator) -> list[Example]:
    """Sentences of positives with a name of another one, of the same kind where there is one that fits.

    A name fits a sentence when neither it nor a name of the sentence holds the other, on either side.
    """
    by_kind: dict[str, list[str]] = {}
    by_sentence: dict[str, list[str]] = {}
    for e in positives:
        by_kind.setdefault(e.kind, []).append(e.name)
        by_sentence.setdefault(e.sentence, []).append(e.name.casefold())
    everyone = [e.name for e in positives]
    out: list[Example] = []
    for _ in range(4 * count if positives else 0):
        if len(out) == count:
            break
        e = positives[int(random.integers(len(positives)))]
        text = f"{e.source}\n{e.sentence}".casefold()
        for pool in (by_kind[e.kind], by_kind[e.kind], everyone):
            name = pool[int(random.integers(len(pool)))]
            low = name.casefold()
            if low not in text and not any(other in low for other in by_sentence[e.sentence]):
                out.append(Example(name, e.sentence, (), e.origin, e.kind, e.source))
                break
    return out
