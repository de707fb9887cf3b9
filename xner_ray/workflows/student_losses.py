"""Warnings of students that score below zero-transfer, each with a likely cause and the folder of the better model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from xner_ray.pipeline.runner import Runner
from xner_ray.pipeline.stages.model_checks import corpora_unlike_dev, fitting_threshold
from xner_ray.pipeline.stages.student import Student

FEW_SENTENCES = 500  # of training data of a student


def find_losses(runner: Runner, evaluated: Mapping[str, Any]) -> list[str]:
    """Log a warning for each evaluation set on which a student scores below zero-transfer.

    Args:
        runner: of the run.
        evaluated: the result of the stage `evaluate`.

    Returns:
        the warnings, for reports.
    """
    losses = describe_losses(evaluated["sets"], runner.result("student"), cache(lambda x: likely_cause(runner, x)))
    for line in losses:
        runner.ctx.log(f"[evaluate] warning: {line}")
    return losses


def describe_losses(
    sets: Mapping[str, Mapping[str, Any]], students: Sequence[Student], cause: Callable[[str], str]
) -> list[str]:
    """Describe each set on which a student scores below zero-transfer. Students of other seeds may score above it.

    Args:
        sets: see `Evaluate`.
        students: of the run.
        cause: returns the likely cause for a language, and its remedy.
    """
    lines = []
    for name, row in sets.items():
        mine = [s for s in students if (s.language, s.encoder) == (row["language"], row["encoder"])]
        lost = [(s, f1) for s, f1 in zip(mine, row["by_seed"], strict=True) if f1["student"] < f1["zero_transfer"]]
        if not lost:
            continue
        figures = [f"F1 {f1['student']:.2f} instead of {f1['zero_transfer']:.2f}" for _, f1 in lost]
        if len(mine) > 1:
            figures = [f"seed {s.seed}: {text}" for (s, _), text in zip(lost, figures, strict=True)]
        better = ", ".join(dict.fromkeys(str(s.base) for s, _ in lost))
        problem = f"the student of {row['language']} is below zero-transfer on {name} ({'; '.join(figures)})"
        lines.append(f"{problem}. A likely cause: {cause(row['language'])}. The better model: {better}")
    return lines


def likely_cause(runner: Runner, language: str) -> str:
    """Return the likely cause of a student below zero-transfer, with the keys to change."""
    ctx, models = runner.ctx, runner.result("teacher")
    shards = [shard for shard in runner.result("ingest").shards() if shard.language == language]
    if unlike := corpora_unlike_dev(ctx, models, runner.result("label").root, shards):
        names = ", ".join(corpus.name for corpus in unlike)
        problem = f"wrong labels in {names}, where the teacher's scores are far below those in dev"
        return f"{problem}; set rules.min_entity_score={unlike[0].threshold:g}"
    summary = runner.result("dataset").summary[language]
    if summary["sentences"] >= FEW_SENTENCES:
        wrong = "wrong labels in its training sentences"
        return f"{wrong}; look at them with `xner show`, and raise rules.min_entity_score"
    return f"it was trained on {summary['sentences']:,} sentences only; {_more_sentences(runner, language, summary)}"


def _more_sentences(runner: Runner, language: str, summary: Mapping[str, Any]) -> str:
    """The key that gives a language more training sentences."""
    config, ledger = runner.ctx.config, runner.result("filter").ledger.by("language")[language]
    if summary["sentences"] >= config.dataset.max_sentences:
        return "raise dataset.max_sentences"
    rules, fitting = config.rules, fitting_threshold(runner.ctx, runner.result("teacher")) or 0.0
    high = {
        "min_entity_score": rules.min_entity_score > fitting,
        "min_projection_score": rules.min_projection_score > 0,
    }
    if any(high.values()) and ledger["dropped"]["low_score"] > summary["available"]:
        keys = " or ".join(f"rules.{key}" for key, is_high in high.items() if is_high)
        return f"{ledger['dropped']['low_score']:,} pairs were dropped as low_score; lower {keys}"
    most = config.ingest.max_pairs_per_language
    return "raise ingest.max_pairs_per_language" if most and ledger["read"] >= most else "add a corpus"
