"""Do the files of a config exist, and do its parts fit together?

`xner plan`, `xner preflight` and `xner run` open every local file that a config names. They read gold files and the first rows
of corpora, and compare languages and types with each other. Files that the stage `sample` generates are left out, and URLs are
not opened. Relative paths are relative to the working directory.
"""

from __future__ import annotations

import os
from pathlib import Path

from xner_ray.config import Config, GoldConfig
from xner_ray.config.load import key_line
from xner_ray.corpora.readers.corpus_reader import inspect, sources_of
from xner_ray.errors import UserError
from xner_ray.language_codes import plain_language
from xner_ray.preflight.checks import configured_models
from xner_ray.preflight.type_checks import GoldTypes, InputReport, check_types
from xner_ray.text.cldr import display_name
from xner_ray.text.conll import read_conll

FILES_OF_EXAMPLES = ("examples_file", "lexicon", "wikipedia_dump", "wikipedia_langlinks")


def check_inputs(config: Config, config_file: str | Path = "") -> InputReport:
    """Open the files of a config and compare them with each other.

    Args:
        config: the checked config. Corpora of OPUS without a path are left out.
        config_file: for messages.
    """
    report = InputReport(missing_files(config, config_file))
    _check_languages(config, report)
    _check_corpora(config, report)
    _check_wikipedia(config, report)
    golds = [_read_gold(gold, config, report) for gold in _used_gold(config)]
    check_types(config, {gold.config.key: gold for gold in golds if gold is not None}, report)
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
    patterns = {key: getattr(config.aligner, key) for key in FILES_OF_EXAMPLES}
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


def _check_wikipedia(config: Config, report: InputReport) -> None:
    """Read the beginning of the files of the example source `wikipedia`."""
    aligner = config.aligner
    if not aligner.example_sources.get("wikipedia"):
        return
    from xner_ray.alignment.examples.wikipedia import check_files  # it imports torch

    for language in config.languages:
        files = [config.fill(str(x), language) for x in (aligner.wikipedia_dump, aligner.wikipedia_langlinks)]
        if all(os.path.exists(file) for file in files):
            report.files += len(files)
            try:
                check_files(*files)
            except UserError as e:
                report.problems.append(e)


def _read_gold(gold: GoldConfig, config: Config, report: InputReport) -> GoldTypes | None:
    """The types of a gold set; None where it is generated, is missing or cannot be read."""
    path = Path(config.fill(gold.path))
    if not os.path.exists(path) or _is_generated(config, path):
        return None
    report.files += 1
    try:
        return GoldTypes.of(gold, read_conll(path, gold.language, scheme=gold.scheme))
    except UserError as e:
        key = f"{gold.key}.{'language' if e.key == 'language' else 'path'}"
        report.problems.append(UserError(e.problem, file=e.file, line=e.line, key=key, remedy=e.remedy))
        return None
