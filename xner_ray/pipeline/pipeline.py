"""All stages in their order, and the results that they end in.

    sample -> ingest -> teacher -> aligner -> label -> dataset -> student -> evaluate

A stage asks for what it needs, and what is done already is found by its fingerprint and skipped, so a run that was stopped
goes on where it stopped, and a single stage can be asked for.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xner_ray import __version__
from xner_ray.config import Config
from xner_ray.errors import UserError
from xner_ray.pipeline.context import Run
from xner_ray.storage.atomic import write_json

STAGES = ("sample", "ingest", "teacher", "aligner", "label", "dataset", "student", "evaluate")


def run(
    config: Config,
    config_file: str | Path = "",
    stages: Sequence[str] | None = None,
    log: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Run stages, by default all.

    Args:
        config: the checked config.
        config_file: for messages.
        stages: some of STAGES; each brings what it needs.
        say: where progress lines go; default: standard output.

    Returns:
        What `results.json` holds: languages, ledger, seconds, and `sets`, `english`, `out`, `folders`, `config`,
        `made_with`. Empty unless `evaluate` ran, which also writes `report.html`.

    Raises:
        UserError: anything in the input that is wrong.
    """
    wanted = list(stages or STAGES)
    unknown = [s for s in wanted if s not in STAGES]
    if unknown:
        raise UserError(f"`{unknown[0]}` is no stage", remedy=f"one of {', '.join(STAGES)}")
    it = Run(config, config_file, log)
    steps = _steps(it)
    results: dict[str, Any] = {}
    if config.sample and "sample" not in wanted:
        wanted.insert(0, "sample")
    for stage in STAGES:
        if stage in wanted:
            with it.timed(stage):
                results[stage] = steps[stage]()
    return _finish(it, results) if "evaluate" in results else {}


def _steps(it: Run) -> dict[str, Callable[[], Any]]:
    """Each stage as a call; imports are late, because torch and Ray take seconds."""

    def teacher():
        from xner_ray.pipeline.stages.source_models import english_models, teachers
        from xner_ray.pipeline.stages.student import wanted_bases

        return english_models(it, [*teachers(it).values(), *wanted_bases(it, it.config.languages).values()])

    def aligner():
        from xner_ray.pipeline.stages.aligner import aligner_folder

        return aligner_folder(it)

    def ingest():
        from xner_ray.pipeline.stages.ingest import ingest_all

        return ingest_all(it)

    def label():
        from xner_ray.pipeline.stages.label import label as stage

        return stage(it)

    def dataset():
        from xner_ray.pipeline.stages.dataset import dataset as stage

        return stage(it)

    def student():
        from xner_ray.pipeline.stages.student import students

        return students(it)

    def evaluate():
        from xner_ray.pipeline.stages.evaluate import evaluate_all

        return evaluate_all(it)

    return {
        "sample": lambda: sample(it),
        "ingest": ingest,
        "teacher": teacher,
        "aligner": aligner,
        "label": label,
        "dataset": dataset,
        "student": student,
        "evaluate": evaluate,
    }


def conclude(it: Run) -> dict[str, Any]:
    """Measure, and write results.json and report.html: the end of `run`, for who went through the stages one by one."""
    steps = _steps(it)
    return _finish(it, {name: steps[name]() for name in ("teacher", "evaluate")})


def sample(it: Run) -> Path | None:
    """Generate the data, where the config asks for it; the same settings are not written twice."""
    settings = it.config.sample
    if settings is None:
        return None
    from xner_ray.sample.write import write_sample

    folder, told = it.out / "sample", {**settings.model_dump(), "languages": it.config.languages}
    marker = folder / "settings.json"
    if marker.exists() and json.loads(marker.read_text()) == told:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    it.log(f"[sample] {settings.pairs:,} pairs a language, {len(it.config.languages)} languages")
    write_sample(
        folder,
        settings.pairs,
        settings.seed,
        languages=it.config.languages,
        gold_sentences=settings.gold_sentences,
        eval_sentences=settings.eval_sentences,
    )
    marker.write_text(json.dumps(told))
    return folder


def _finish(it: Run, done: dict[str, Any]) -> dict[str, Any]:
    """Write results.json, and report.html from it."""
    from xner_ray.pipeline.stages.aligner import aligner_folder
    from xner_ray.pipeline.stages.dataset import dataset
    from xner_ray.pipeline.stages.ingest import shard_folder
    from xner_ray.pipeline.stages.source_models import held_out_gold
    from xner_ray.pipeline.stages.student import students
    from xner_ray.results.export.model_card import write_model_cards
    from xner_ray.results.report.page import write_report
    from xner_ray.results.run_results import RunResults

    data, folders = dataset(it), {}
    for student in students(it):
        parts = [student.language]
        parts += [Path(student.encoder).name] if isinstance(it.config.student.encoder, list) else []
        parts += [str(student.seed)] if len(it.config.student.seeds) > 1 else []
        folders["-".join(parts)] = str(student.folder)
    results = {
        "name": it.config.name,
        "version": __version__,
        **done["evaluate"],
        "ledger": data.ledger.to_json(),
        "held_out_gold": len(held_out_gold(it)),
        "seconds": {**it.seconds, "total": round(sum(it.seconds.values()), 1)},
        "out": str(it.out),
        "folders": {
            "students": folders,
            "datasets": {k: str(v) for k, v in data.train.items()},
            "ingest": {language: str(shard_folder(it, language)) for language in it.config.languages},
            "aligner": str(aligner_folder(it)),
            "english": {w.name: str(path) for w, path in done.get("teacher", {}).items()},
        },
        "plan": plan(it.config),
        "config": it.config.model_dump(mode="json"),
        "made_with": _made_with(),
    }
    write_json(it.out / "results.json", results)
    write_model_cards(RunResults(it.out, results))
    it.log(f"[report] {write_report(it.out)}")
    return results


def _made_with() -> dict[str, str]:
    """When this was, and the versions that results depend on."""
    packages = ("ray", "torch", "transformers", "tokenizers", "pyarrow")
    now = datetime.now(UTC).isoformat(timespec="minutes")
    return {
        "finished": now,
        "xner_ray": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def plan(config: Config) -> list[tuple[str, str]]:
    """What each stage would do, from the config alone: needs neither data nor models."""
    languages = ", ".join(config.languages)
    encoders = config.student.encoder if isinstance(config.student.encoder, list) else [config.student.encoder]
    pairs = f"{config.ingest.max_pairs_per_language:,}" if config.ingest.max_pairs_per_language else "all"
    lines = [
        ("sample", f"{config.sample.pairs:,} pairs a language" if config.sample else "not asked for"),
        ("ingest", f"{pairs} pairs for each of {languages}, in shards of {config.ingest.shard_rows:,}"),
        ("teacher", _teacher(config)),
        (
            "aligner",
            f"{config.aligner.encoder}, {config.aligner.num_examples:,} examples a language, {_told(config.aligner.training)}",
        ),
        ("label", f"teacher and aligner over {pairs} pairs a language"),
        (
            "dataset",
            f"at most {config.dataset.max_sentences:,} sentences a language, {config.dataset.no_entity_ratio:.0%} without entity",
        ),
    ]
    count = len(encoders) * len(config.languages) * len(config.student.seeds)
    lines.append(("student", f"{count} models from {', '.join(encoders)}, {_told(config.student.training)}"))
    lines.append(("evaluate", f"{len(config.evaluation)} gold sets, zero-transfer beside each student"))
    return lines


def _teacher(config: Config) -> str:
    if config.teacher.model:
        return f"{config.teacher.model}, as it is"
    teachers = len({tuple(sorted(config.teacher.drop_types.get(x, []))) for x in config.languages})
    return f"{teachers} x {config.teacher.encoder}, {_told(config.teacher.training)}"


def _told(training) -> str:
    loss = (
        "cross entropy" if training.loss == "cross_entropy" else f"{training.loss} loss with gamma {training.gamma:g}"
    )
    epochs = f"{training.epochs} epoch{'s'[: training.epochs > 1]}"
    return f"{epochs} of {loss}, learning rate {training.learning_rate:g}"
