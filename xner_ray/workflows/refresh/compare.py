"""New students beside the current ones, on the same sets: gold where the config names some, else silver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xner_ray.config import GoldConfig
from xner_ray.errors import UserError
from xner_ray.evaluation.bootstrap import gain
from xner_ray.evaluation.tagger_scores import DRAWS
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.dataset import silver_file
from xner_ray.pipeline.stages.evaluate import ScoreModels
from xner_ray.pipeline.stages.student import Student
from xner_ray.workflows.refresh.promotion import Compared, SetScore


def compare(ctx: Context, trained: list[Student], current: dict[str, Any] | None) -> list[Compared]:
    """Measure what was not measured before, and set it side by side.

    Args:
        ctx: whose `evaluation` has a set for each language.
        current: the version that is current, None before the first.

    Raises:
        UserError: a current student is not where it was trained any more.
    """
    pairs = {s.language: (s.folder, _current(ctx, current, s.language)) for s in trained}
    work: dict[tuple[str, str], GoldConfig] = {}
    for gold in ctx.config.evaluation:
        for folder in pairs.get(gold.language, ()):
            if folder:
                work[str(folder), gold.path] = gold
    done = complete(ctx, ScoreModels(work), {})
    found = []
    for language, (new, old) in pairs.items():
        sets = [gold for gold in ctx.config.evaluation if gold.language == language]
        found.append(Compared(language, [_score(ctx, gold, new, old, done) for gold in sets]))
    return found


def _current(ctx: Context, current: dict[str, Any] | None, language: str) -> Path | None:
    student = current["students"].get(language) if current else None
    if student is None:
        return None
    folder = ctx.out / student["trained_in"]
    if not folder.is_dir():
        remedy = f"copy it back from {student['path']}, where it was published"
        raise UserError(f"the current student of `{language}` is gone", file=folder, remedy=remedy)
    return folder


def _score(
    ctx: Context, gold: GoldConfig, new: Path, old: Path | None, done: dict[tuple[str, str], dict[str, Any]]
) -> SetScore:
    kind = "silver" if gold.path == str(silver_file(ctx.out, gold.language)) else "gold"
    name = gold.name or Path(gold.path).name
    after = done[str(new), gold.path]
    if old is None:
        return SetScore(name, kind, None, after["f1"])
    before = done[str(old), gold.path]
    moved = gain(before, after, (before[DRAWS], after[DRAWS]))
    return SetScore(name, kind, before["f1"], after["f1"], moved["f1_interval"])
