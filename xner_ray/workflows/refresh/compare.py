"""Scores of the new students beside those of the current ones, on the same sets: gold if there is some, else silver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xner_ray.config import GoldConfig
from xner_ray.errors import UserError
from xner_ray.evaluation.bootstrap import gain
from xner_ray.evaluation.tagger_scores import DRAWS
from xner_ray.pipeline.context import Context, model_identity
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.dataset import silver_file
from xner_ray.pipeline.stages.evaluate import ScoreModels
from xner_ray.pipeline.stages.student import Student
from xner_ray.workflows.refresh.promotion import Comparison, SetScore


def compare_students(ctx: Context, trained: list[Student], current: dict[str, Any] | None) -> list[Comparison]:
    """Score the new and the current students, as far as they are not scored yet.

    Args:
        ctx: its config has an evaluation set for each language.
        trained: the new students.
        current: the record of the current version; None before the first promotion.

    Raises:
        UserError: the folder of a current student is missing, or was changed after the promotion.
    """
    folders = {s.language: (s.folder, _current_folder(ctx, current, s.language)) for s in trained}
    pairs: dict[tuple[str, str], GoldConfig] = {}
    for gold in ctx.config.evaluation:
        for folder in folders.get(gold.language, ()):
            if folder:
                pairs[str(folder), gold.path] = gold
    scores = complete(ctx, ScoreModels(pairs), {})
    comparisons = []
    for language, (new, old) in folders.items():
        sets = [gold for gold in ctx.config.evaluation if gold.language == language]
        comparisons.append(Comparison(language, [_set_score(ctx, gold, new, old, scores) for gold in sets]))
    return comparisons


def _current_folder(ctx: Context, current: dict[str, Any] | None, language: str) -> Path | None:
    student = current["students"].get(language) if current else None
    if student is None:
        return None
    folder = ctx.out / student["trained_in"]
    if not folder.is_dir():
        remedy = f"copy it back from {student['path']}, where it was published"
        raise UserError(f"the current student of `{language}` is missing", file=folder, remedy=remedy)
    if model_identity(folder) != student["identity"]:
        remedy = f"put back the files of {student['path']}, where it was published"
        raise UserError(
            f"the current student of `{language}` was changed after its promotion", file=folder, remedy=remedy
        )
    return folder


def _set_score(
    ctx: Context, gold: GoldConfig, new: Path, old: Path | None, scores: dict[tuple[str, str], dict[str, Any]]
) -> SetScore:
    kind = "silver" if gold.path == str(silver_file(ctx.out, gold.language)) else "gold"
    name = gold.name or Path(gold.path).name
    after = scores[str(new), gold.path]
    if old is None:
        return SetScore(name, kind, None, after["f1"])
    before = scores[str(old), gold.path]
    change = gain(before, after, (before[DRAWS], after[DRAWS]))
    return SetScore(name, kind, before["f1"], after["f1"], change["f1_interval"])
