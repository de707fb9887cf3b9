"""Do the entity types of gold, dev and evaluation sets fit together, and do other keys name types that exist?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from xner_ray.config import Config, GoldConfig
from xner_ray.errors import UserError
from xner_ray.evaluation.tagger_scores import fitting_map
from xner_ray.text.conll import Sentence, rename

_FEW_SENTENCES = 20


@dataclass
class InputReport:
    """What is wrong with the files of a config, and what is unusual.

    Attributes:
        problems: a run would fail, or its results would be wrong.
        warnings: one line each.
        files: number of files that were read.
    """

    problems: list[UserError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    files: int = 0


@dataclass(frozen=True)
class GoldTypes:
    """The entity types of a gold set.

    Attributes:
        config: the set's config.
        sentences: number of sentences.
        written: entities by type, as the file names them.
        types: entities by type after `tag_map` and `types`.
    """

    config: GoldConfig
    sentences: int
    written: Counter[str]
    types: Counter[str]

    @classmethod
    def of(cls, gold: GoldConfig, sentences: list[Sentence]) -> GoldTypes:
        """Count the entities of a set's sentences."""
        written = Counter(tag[2:] for s in sentences for tag in s.tags if tag.startswith("B-"))
        types: Counter[str] = Counter()
        for kind, n in written.items():  # the types are those of `rename`
            types[rename([f"B-{kind}"], gold.tag_map, gold.types)[0].removeprefix("B-")] += n
        del types["O"]
        return cls(gold, len(sentences), written, types)


def check_types(config: Config, golds: dict[str, GoldTypes], report: InputReport) -> None:
    """Compare the entity types of all sets, and of the keys that name types.

    Args:
        config: the checked config.
        golds: the sets that could be read, by key.
        report: receives problems and warnings.
    """
    for key, gold in golds.items():
        _check_set(key, gold, report)
    training = [golds[gold.key] for gold in config.gold if gold.key in golds]
    if len(training) < len(config.gold):
        return  # not all types are known
    known: Counter[str] = sum((gold.types for gold in training), Counter())
    if not known:
        remedy = "check the tag column, `tag_map` and `types`"
        report.problems.append(UserError("the gold data holds no entity", key="gold", remedy=remedy))
        return
    if sum(gold.sentences for gold in training) < _FEW_SENTENCES:
        report.warnings.append(
            f"gold: {sum(gold.sentences for gold in training)} sentences in all are too few to train on"
        )
    for kind, n in known.items():
        if n == 1:
            report.warnings.append(f"gold: the type {kind} has 1 entity in all")
    for key, kind in _named_types(config):
        _check_named(key, kind, known, report)
    for key, gold in golds.items():
        if not key.startswith("gold"):
            _compare_sets(key, gold, known, config, report)


def _check_set(key: str, gold: GoldTypes, report: InputReport) -> None:
    """The keys `tag_map` and `types` of a set name types of its file."""
    listed = ", ".join(sorted(gold.written)) or "no entity"
    for kind in gold.config.tag_map:
        if kind not in gold.written and (same := _same_letters(kind, gold.written)):
            what = f"the file has no type {kind}, but {same}"
            report.problems.append(UserError(what, key=f"{key}.tag_map", remedy=f"write {same} in {key}.tag_map"))
    if gold.config.types and gold.written and not gold.types:
        what = f"the file has none of the types {', '.join(gold.config.types)}; it has {listed}"
        report.problems.append(UserError(what, key=f"{key}.types", remedy=f"correct {key}.types, or add a `tag_map`"))
    elif gold.config.types and (lacks := [x for x in gold.config.types if x not in gold.types]):
        report.warnings.append(f"{key}.types: the file has no {', '.join(lacks)}; it has {listed}")
    elif not gold.types:
        report.warnings.append(f"{key}: no sentence has an entity")
    if gold.sentences < _FEW_SENTENCES and not key.startswith("gold"):
        report.warnings.append(f"{key}: {gold.sentences} sentences are too few for a score")


def _named_types(config: Config) -> Iterator[tuple[str, str]]:
    """Types in other keys than those of gold sets."""
    for language, kinds in config.teacher.drop_types.items():
        yield from ((f"teacher.drop_types.{language}", kind) for kind in kinds)
    for key in ("derived_word_type", "lowercase_word_type", "demonym_country_type"):
        yield from ((f"rules.{key}.{language}", kind) for language, kind in getattr(config.rules, key).items())
    for language, by_text in config.rules.surface_type_overrides.items():
        yield from ((f"rules.surface_type_overrides.{language}", kind) for kind in dict.fromkeys(by_text.values()))


def _check_named(key: str, kind: str, known: Counter[str], report: InputReport) -> None:
    if kind == "O" or kind in known:
        return
    if same := _same_letters(kind, known):
        what = f"no gold sentence has the type {kind}, but {same}"
        report.problems.append(UserError(what, key=key, remedy=f"write {same} in {key}"))
    else:
        report.warnings.append(f"{key}: no gold sentence has the type {kind}; gold has {', '.join(sorted(known))}")


def _compare_sets(key: str, gold: GoldTypes, known: Counter[str], config: Config, report: InputReport) -> None:
    """A dev or evaluation set has the types that models are trained on."""
    dropped = set(config.teacher.drop_types.get(gold.config.language, ()))
    rules = {
        kind for name, kind in _named_types(config) if name.startswith("rules") and name.endswith(gold.config.language)
    }
    predicted = sorted(({*known} - dropped) | (rules - {"O"}))
    lacks = sorted(set(gold.types) - set(predicted))
    both = f"gold has {', '.join(predicted)}; the set has {', '.join(sorted(gold.types))}"
    renamed = fitting_map(lacks, predicted)
    fitting = ", ".join(f"{old}: {new}" for old, new in renamed.items())
    remedy = f"set {key}.tag_map={{{fitting}}}, added to its present entries"
    case = [kind for kind in lacks if _same_letters(kind, predicted)]
    if case:
        what = f"the type {case[0]} differs from {_same_letters(case[0], predicted)} of gold in case alone"
        report.problems.append(UserError(f"{what}: {both}", key=f"{key}.tag_map", remedy=remedy))
        return
    if lacks and len(lacks) == len(gold.types):
        if set(renamed.values()) == {"O"}:
            remedy = f"correct {key}.path, or name the type of gold for each: {key}.tag_map={{{lacks[0]}: TYPE}}"
        what = f"no type of the set is a type of gold: {both}"
        report.problems.append(UserError(what, key=f"{key}.tag_map", remedy=remedy))
        return
    if lacks:
        n = sum(gold.types[kind] for kind in lacks)
        report.warnings.append(
            f"{key}: models never predict {', '.join(lacks)}, so {n} entities count as missed ({both})"
        )
    extra = [kind for kind in predicted if kind in known and kind not in gold.types]
    if gold.types and extra and not gold.config.types:
        what = f"has no {', '.join(extra)}, which models predict, so each such prediction counts as an error"
        report.warnings.append(f"{key}: {what}; set {key}.types=[{', '.join(sorted(gold.types))}] to leave them out")


def _same_letters(kind: str, others: Counter[str] | list[str]) -> str | None:
    """The type that differs in upper and lower case alone."""
    return next((x for x in others if x != kind and x.casefold() == kind.casefold()), None)
