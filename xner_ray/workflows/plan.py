"""`xner plan`: what each stage of a run would do, and which local files are missing. It writes nothing and uses no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.pipeline import build_pipeline
from xner_ray.pipeline.runner import Runner, StagePlan


@dataclass(frozen=True)
class RunPlan:
    """What a run would do.

    Attributes:
        stages: in their order.
        problems: files that are missing or cannot be used.
    """

    stages: list[StagePlan]
    problems: list[UserError]


def plan_run(config: Config, config_file: str | Path, log: Callable[[str], None]) -> RunPlan:
    """The plan of a run: for each stage whether it is done, or its work and the reason.

    Args:
        config: the checked config.
        config_file: for messages.
        log: called with warnings, such as a corpus that OPUS does not have.
    """
    ctx = Context.open(config, config_file, log, offline=True)
    stages = Runner(ctx, build_pipeline(ctx.config)).plan()
    problems = missing_files(ctx.config, config_file)
    problems += [p.error for p in stages if p.error and str(p.error.file) not in {str(e.file) for e in problems}]
    return RunPlan(stages, problems)


def missing_files(config: Config, config_file: str | Path) -> list[UserError]:
    """An error for each local file or folder that the config names and that does not exist."""
    named: dict[str, list[tuple[str, Path]]] = {}
    for key in ("gold", "dev", "evaluation"):
        for n, gold in enumerate(getattr(config, key)):
            if key != "evaluation" or gold.language in config.languages:
                named.setdefault(gold.path, []).append((f"{key}.{n}.path", Path(config.fill(gold.path))))
    for n, corpus in enumerate(config.corpora):
        for language in corpus.languages if corpus.languages is not None else config.languages:
            for key, pattern in (("path", corpus.path), ("target_path", corpus.target_path)):
                if pattern and (filled := _local(config.fill(pattern, language))):
                    named.setdefault(str(filled), []).append((f"corpora.{n}.{key}", filled))
    for key, path in [*_model_folders(config), *_example_files(config)]:
        named.setdefault(str(path), []).append((key, path))
    generated = Path(config.data_dir) if config.sample and config.data_dir else None
    errors = []
    for uses in named.values():
        key, path = uses[0]
        made_later = generated is not None and path.absolute().is_relative_to(generated.absolute())
        if not path.exists() and not made_later:
            remedy = f"check the key in {config_file}, and the key `data`"
            errors.append(UserError("no such file or folder", file=path, key=key, remedy=remedy))
    return errors


def _model_folders(config: Config) -> list[tuple[str, Path]]:
    """The models that the config names by a path. A hub id has no leading `/` or `.`, and at most one `/`."""
    from xner_ray.preflight.checks import configured_models

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
