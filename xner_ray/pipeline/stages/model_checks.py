"""Warnings and limits about models, before they cost a labeling or a training.

The teacher is scored on dev gold before the corpus is labeled. The entities that it finds in the corpora are compared with those
of dev. A teacher that meets other text than its gold gives low scores, and labels what is no entity.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc

from xner_ray.config import GoldConfig
from xner_ray.errors import UserError
from xner_ray.evaluation.calibration import TRUSTED
from xner_ray.labeling.shard_descriptor import ShardDescriptor
from xner_ray.pipeline.context import Context
from xner_ray.pipeline.runner import complete
from xner_ray.pipeline.stages.evaluate import ScoreModels
from xner_ray.pipeline.stages.source_models import SourceModels, teacher_spec
from xner_ray.storage.shard_store import ShardStore

NUM_PAIRS = 20_000  # of a language that are compared with dev, about
MIN_SHARDS = 16  # of a language, because a shard can have pairs of one corpus only
SUSPECT = 0.25  # a warning appears if more of the entities of a corpus score below this threshold
MIN_ENTITIES = 50  # of a corpus; fewer say too little


def check_teachers(ctx: Context, models: SourceModels) -> None:
    """Score each teacher on each dev set, log the scores by type, and warn of types that it never finds.

    Raises:
        UserError: a score is below `teacher.min_f1`.
    """
    for name, scores in teacher_scores(ctx, models).items():
        ctx.log(f"[teacher] {name}: {describe_scores(scores)}")
        for kind, row in scores["types"].items():
            if row["support"] and not row["recall"] and not row["precision"]:
                problem = f"{name}: none of {row['support']} entities of the type {kind} is found"
                remedy = (
                    "add gold sentences with it, raise teacher.training.epochs, or drop it with teacher.drop_types"
                )
                ctx.log(f"[teacher] warning: {problem}; {remedy}")
        if scores["f1"] < ctx.config.teacher.min_f1:
            problem = f"the teacher has F1 {scores['f1']:.2f} on {name}, below {ctx.config.teacher.min_f1:g}"
            remedy = "train it again with another teacher.training.learning_rate or more gold, or lower teacher.min_f1"
            raise UserError(problem, file=ctx.config_file or None, key="teacher.min_f1", remedy=remedy)


def teacher_scores(ctx: Context, models: SourceModels) -> dict[str, dict[str, Any]]:
    """Score each teacher on each dev set. The stage `evaluate` uses the same scores.

    Returns:
        by name of the teacher and the set: the value of `evaluate_tagger`.
    """
    scores: dict[str, dict[str, Any]] = {}
    if not ctx.config.dev:
        return scores
    for spec in dict.fromkeys(teacher_spec(ctx.config, language) for language in ctx.config.languages):
        folder = str(models.folders[spec])
        dev = {(folder, gold.path): _without(gold, spec.drop_types) for gold in ctx.config.dev}
        for (_, path), row in complete(ctx, ScoreModels(dev), {}).items():
            gold_name = next(gold.name for gold in ctx.config.dev if gold.path == path) or Path(path).name
            scores[f"{spec.name} on {gold_name}"] = row
    return scores


def _without(gold: GoldConfig, types: Sequence[str]) -> GoldConfig:
    return gold.model_copy(update={"tag_map": {**gold.tag_map, **dict.fromkeys(types, "O")}}) if types else gold


def describe_scores(scores: Mapping[str, Any]) -> str:
    """`P 90.0, R 80.0, F1 84.7; LOC P 91.0, R 82.0, F1 86.3; ...`."""
    rows = [("", scores), *((f"{kind} ", row) for kind, row in scores.get("types", {}).items())]
    return "; ".join(f"{kind}P {r['precision']:.1f}, R {r['recall']:.1f}, F1 {r['f1']:.1f}" for kind, r in rows)


@dataclass(frozen=True)
class UnlikeDev:
    """A corpus in which many entities of the teacher have scores that are rare in dev.

    Attributes:
        name: `language, corpus`.
        low: fraction of the entities that score below `threshold`.
        per_sentence: entities of a sentence.
        dev_per_sentence: the same in dev.
        threshold: score that `TRUSTED` of the right entities of dev reach.
    """

    name: str
    low: float
    per_sentence: float
    dev_per_sentence: float
    threshold: float


def compare_with_dev(ctx: Context, models: SourceModels, root: str, shards: Sequence[ShardDescriptor]) -> None:
    """Warn of corpora in which many entities of the teacher have scores that are rare in dev.

    Args:
        ctx: of the run.
        models: the teachers.
        root: store of the labeled shards.
        shards: of the run.
    """
    if fitting_threshold(ctx, models) is None:
        problem = "the teacher's scores in the corpora are not compared with those in dev, because too few of its entities there"
        ctx.log(f"[label] {problem} are right; with own types, add gold sentences to `dev`")
    for x in corpora_unlike_dev(ctx, models, root, shards):
        ctx.log(
            f"[label] warning: {x.name}: {x.low:.0%} of the teacher's entities score below {x.threshold:g}, and at most"
            f" {1 - TRUSTED:.0%} of its right ones in dev do. It finds {x.per_sentence:.2f} entities in a sentence,"
            f" and {x.dev_per_sentence:.2f} in dev. The text differs from the gold, so many of them may be wrong: set"
            f" rules.min_entity_score={x.threshold:g}, or add labeled sentences of such text to `gold`, also some without"
            " an entity"
        )


def corpora_unlike_dev(
    ctx: Context, models: SourceModels, root: str, shards: Sequence[ShardDescriptor]
) -> list[UnlikeDev]:
    """Return the corpora in which many entities score below a threshold that right entities of dev reach.

    Args:
        ctx, models, root, shards: see `compare_with_dev`.

    Returns:
        sorted by name; empty if `rules.min_entity_score` is at least the threshold.
    """
    threshold = fitting_threshold(ctx, models)
    if threshold is None or threshold <= ctx.config.rules.min_entity_score:
        return []
    measured = teacher_scores(ctx, models).values()
    entities = sum(row["entities"] for scores in measured for row in scores["calibration"])
    in_dev = entities / max(1, sum(scores["sentences"] for scores in measured))
    unlike = []
    for corpus, (scores, pairs) in sorted(entity_scores(root, shards).items()):
        low = float(np.mean(scores < threshold)) if len(scores) >= MIN_ENTITIES else 0.0
        if low > SUSPECT:
            unlike.append(UnlikeDev(corpus, low, len(scores) / pairs, in_dev, threshold))
    return unlike


def fitting_threshold(ctx: Context, models: SourceModels) -> float | None:
    """Return the entity score that nearly all right entities of each dev set reach; None: dev has too few of them."""
    scores = [row["trusted_score"] for row in teacher_scores(ctx, models).values()]
    return min((score for score in scores if score is not None), default=None)


def entity_scores(root: str, shards: Sequence[ShardDescriptor]) -> dict[str, tuple[np.ndarray, int]]:
    """Scores of the teacher's entities, and pairs, by `language, corpus`, in some shards of each language.

    Shards have the order of the corpora, so evenly spaced ones are read. A corpus with few pairs can be between them.
    """
    store = ShardStore(root)
    scores: dict[str, list[np.ndarray]] = {}
    pairs = Counter[str]()
    for shard in _spaced(shards):
        table = store.read(shard.shard).select(["corpus", "entities"])
        for corpus in pc.unique(table.column("corpus")).to_pylist():
            entities = table.filter(pc.equal(table.column("corpus"), corpus)).column("entities").combine_chunks()
            name = f"{shard.language}, {corpus}"
            scores.setdefault(name, []).append(pc.struct_field(entities.flatten(), "score").to_numpy())
            pairs[name] += len(entities)
    return {name: (np.concatenate(parts), pairs[name]) for name, parts in scores.items()}


def _spaced(shards: Sequence[ShardDescriptor]) -> list[ShardDescriptor]:
    """Evenly spaced shards of each language, with about `NUM_PAIRS` pairs, in the order of their names."""
    chosen: list[ShardDescriptor] = []
    for language in sorted({shard.language for shard in shards}):
        own = sorted((s for s in shards if s.language == language), key=lambda s: s.shard)
        number = math.ceil(len(own) * NUM_PAIRS / max(1, sum(s.rows for s in own)))
        number = min(len(own), max(number, MIN_SHARDS))
        chosen += [own[i] for i in np.linspace(0, len(own) - 1, number).round().astype(int)]
    return chosen
