"""Do the files of a config exist, and do its parts fit together?

`xner plan`, `xner preflight` and `xner run` open every local file that a config names. They read gold files and the first rows
of corpora, and compare languages and types with each other. Files that the stage `sample` generates are left out, and URLs are
not opened. Relative paths are relative to the working directory.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from xner_ray.config import Config, GoldConfig
from xner_ray.config.load import key_line
from xner_ray.corpora.readers.corpus_reader import inspect, sources_of
from xner_ray.errors import UserError
from xner_ray.evaluation.tagger_scores import fitting_map
from xner_ray.language_codes import plain_language
from xner_ray.preflight.checks import configured_models
from xner_ray.text.conll import Sentence, read_conll, rename
from xner_ray.text.languages import display_name

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


def check_inputs(config: Config, config_file: str | Path = "") -> InputReport:
    """Open the files of a config and compare them with each other.

    Args:
        config: the checked config. Corpora of OPUS without a path are left out.
        config_file: for messages.
    """
    report = InputReport(missing_files(config, config_file))
    _check_languages(config, report)
    _check_corpora(config, report)
    golds = {gold.key: _Gold.read(gold, config, report) for gold in _used_gold(config)}
    _check_types(config, {key: gold for key, gold in golds.items() if gold is not None}, report)
    return report


def describe_languages(config: Config) -> str:
    """The languages of a config by code and name: a wrong code can be the code of another language."""
    names = [f"{code} ({display_name(code)})" for code in (config.source_language, *config.languages)]
    return f"{names[0]} to {', '.join(names[1:])}"


def missing_files(config: Config, config_file: str | Path = "") -> list[UserError]:
    """An error for each local file or folder that the config names and that does not exist."""
    named: dict[str, tuple[str, Path]] = {}
    for gold in _used_gold(config):
        named.setdefault(gold.path, (f"{gold.key}.path", Path(config.fill(gold.path))))
    for corpus in config.corpora:
        for language in corpus.languages if corpus.languages is not None else config.languages:
            for key, pattern in (("path", corpus.path), ("target_path", corpus.target_path)):
                if pattern and (filled := _local(config.fill(pattern, language))):
                    named.setdefault(str(filled), (f"{corpus.key}.{key}", filled))
    for key, path in [*_model_folders(config), *_example_files(config)]:
        named.setdefault(str(path), (key, path))
    return [
        missing_file(path, key, config_file)
        for key, path in named.values()
        if not os.path.exists(path) and not _is_generated(config, path)  # of pathlib an over-long path raises
    ]


def missing_file(path: str | Path, key: str, config_file: str | Path = "") -> UserError:
    """The error for a file that does not exist, with the absolute path that was tried."""
    line = key_line(config_file, key) if config_file else None
    where = f" in {config_file}" + (f":{line}" if line else "") if config_file else ""
    remedy = f"correct `{key}`{where}, or the key `data`; relative paths are relative to the working directory, {Path.cwd()}"
    tried = Path(path).absolute()
    return UserError(
        "no such file or folder", file=str(tried) if isinstance(path, str) else tried, key=key, remedy=remedy
    )


def _used_gold(config: Config) -> list[GoldConfig]:
    return [*config.gold, *config.dev, *(gold for gold in config.evaluation if gold.language in config.languages)]


def _is_generated(config: Config, path: Path) -> bool:
    """Whether the stage `sample` writes a file."""
    folder = Path(config.data_dir).absolute() if config.sample and config.data_dir else None
    return folder is not None and path.absolute().is_relative_to(folder)


def _model_folders(config: Config) -> list[tuple[str, Path]]:
    """The models that the config names by a path. A hub id has no leading `/` or `.`, and at most one `/`."""
    folders = []
    for key, model in configured_models(config).items():
        name = model.removeprefix("spacy:")
        if name.startswith(("/", "./", "../", "~")) or name.count("/") > 1:
            folders.append((key, Path(name)))
    return folders


def _example_files(config: Config) -> list[tuple[str, Path]]:
    """The files of examples of the aligner, one for each language."""
    patterns = {key: getattr(config.aligner, key) for key in ("examples_file", "lexicon")}
    return [
        (f"aligner.{key}", Path(config.fill(pattern, language)))
        for key, pattern in patterns.items()
        if pattern
        for language in config.languages
    ]


def _local(path: str) -> Path | None:
    path = path.removeprefix("file://")
    return None if "://" in path or "{" in path else Path(path)


def _check_languages(config: Config, report: InputReport) -> None:
    """Compare the languages of gold sets and corpora with those of the run."""
    languages = ", ".join(config.languages)
    unused = [gold for gold in config.evaluation if gold.language not in config.languages]
    if unused and len(unused) == len(config.evaluation):
        sets = ", ".join(f"`{x}`" for x in dict.fromkeys(gold.language for gold in unused))
        what = f"no evaluation set is in a language of the run: the sets are {sets}, and `languages` is {languages}"
        key = f"{unused[0].key}.language"
        report.problems.append(UserError(what, key=key, remedy=f"correct {key} or `languages`, or set evaluation=[]"))
    else:
        for gold in unused:
            near = [x for x in config.languages if plain_language(x) == plain_language(gold.language)]
            hint = f"; did you mean `{near[0]}`?" if near else ""
            what = f"`{gold.language}` is no language of the run ({languages}), so the set is not used{hint}"
            report.warnings.append(f"{gold.key}: {what}")
    for section, golds in (("dev", config.dev), ("evaluation", config.evaluation)):
        names = [gold.name or Path(gold.path).name for gold in golds]
        if twice := next((x for x in names if names.count(x) > 1), None):
            what = f"two sets are named `{twice}`, so the scores of one would replace those of the other"
            report.problems.append(UserError(what, key=section, remedy="give each set its own `name`"))
    for gold in (*config.gold, *config.dev):
        if gold.language != config.source_language:
            what = f"`{gold.language}` is not the source language, `{config.source_language}`"
            report.warnings.append(f"{gold.key}: {what}")
    for corpus in config.corpora:
        if corpus.languages == []:
            report.warnings.append(f"{corpus.key} ({corpus.name}): has no language of the run, so it is not used")


def _check_corpora(config: Config, report: InputReport) -> None:
    """Read the first rows of local corpora: their columns, and the languages of both sides."""
    for language in config.languages:
        for source in sources_of(config, language):
            paths = [_local(x) for x in (source.path, source.target_path) if x]
            if not paths or any(x is None or not os.path.exists(x) or _is_generated(config, x) for x in paths):
                continue
            report.files += len(paths)
            try:
                notes = inspect(source)
            except UserError as e:
                report.problems.append(e)
                continue
            report.warnings += [f"{source.corpus.key} ({source.label}, {language}): {note}" for note in notes]


@dataclass(frozen=True)
class _Gold:
    """A gold set that was read: entities by type before and after `tag_map` and `types`."""

    config: GoldConfig
    sentences: int
    written: Counter[str]
    types: Counter[str]

    @classmethod
    def read(cls, gold: GoldConfig, config: Config, report: InputReport) -> _Gold | None:
        path = Path(config.fill(gold.path))
        if not os.path.exists(path) or _is_generated(config, path):
            return None
        report.files += 1
        try:
            sentences = read_conll(path, gold.language, scheme=gold.scheme)
        except UserError as e:
            key = f"{gold.key}.{'language' if e.key == 'language' else 'path'}"
            report.problems.append(UserError(e.problem, file=e.file, line=e.line, key=key, remedy=e.remedy))
            return None
        written = _entities(sentences)
        types: Counter[str] = Counter()
        for kind, n in written.items():  # the types are those of `rename`
            types[rename([f"B-{kind}"], gold.tag_map, gold.types)[0].removeprefix("B-")] += n
        del types["O"]
        return cls(gold, len(sentences), written, types)


def _entities(sentences: list[Sentence]) -> Counter[str]:
    return Counter(tag[2:] for s in sentences for tag in s.tags if tag.startswith("B-"))


def _check_types(config: Config, golds: dict[str, _Gold], report: InputReport) -> None:
    """Compare the entity types of all sets, and of the keys that name types."""
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


def _check_set(key: str, gold: _Gold, report: InputReport) -> None:
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


def _compare_sets(key: str, gold: _Gold, known: Counter[str], config: Config, report: InputReport) -> None:
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
