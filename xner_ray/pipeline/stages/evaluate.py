"""The stage `evaluate`: scores students and zero-shot transfer on every gold set, and the teacher on dev sets.

Each pair of a model and a gold set is a piece. It is committed as soon as it is scored, and later runs use the same scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xner_ray.config import Config, GoldConfig
from xner_ray.evaluation.bootstrap import gain, mean_draws, with_intervals
from xner_ray.evaluation.calibration import ece, merge
from xner_ray.evaluation.scores import mean_scores
from xner_ray.evaluation.tagger_scores import DRAWS, evaluate_tagger, without_draws
from xner_ray.evaluation.text_scores import text_scores
from xner_ray.pipeline.context import Context, model_identity
from xner_ray.pipeline.stage import Inputs, Piece, PieceDir, Stage
from xner_ray.pipeline.stages.student import Student
from xner_ray.storage.atomic import write_text
from xner_ray.storage.stage_dir import StageDir
from xner_ray.text.conll import read_gold_file

SCORES = "scores.json"
Pair = tuple[str, str]  # folder of a model, path of a gold set in the config
Measured = dict[Pair, dict[str, Any]]


class ScoreModels(Stage):
    """Scores models on gold sets. Result: the value of `evaluate_tagger` for each pair, and `text`, the scores on raw text.

    Args:
        pairs: the gold set of each pair (folder of a model, path of a gold set).
    """

    name, version = "evaluate", 7

    def __init__(self, pairs: Mapping[Pair, GoldConfig]):
        self.pairs = dict(pairs)

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        pieces: dict[str, Piece] = {}
        for (model, path), gold in self.pairs.items():
            parts = {"model": model_identity(model), "gold": ctx.gold_parts([gold])}
            pieces.setdefault(_key((model, path)), Piece(_key((model, path)), parts, "scores"))
        return list(pieces.values())

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        missing = {piece.key: piece for piece in todo}
        work: dict[str, list[GoldConfig]] = {}
        for (model, path), gold in self.pairs.items():
            if _key((model, path)) in missing:
                work.setdefault(model, []).append(gold)
        ctx.log(f"[evaluate] {len(missing)} pairs of a model and a gold set")
        fill = {gold.path: ctx.config.fill(gold.path) for golds in work.values() for gold in golds}
        with ctx.record_work("evaluate", "scores") as amount:
            for n, (model, path, scores) in enumerate(ctx.executor.stream(score_models, work, fill), 1):
                piece = missing[_key((model, path))]
                write_text(piece.path / SCORES, json.dumps(scores))
                piece.commit()
                amount["sentences"] = amount.get("sentences", 0) + scores["sentences"]
                name = f"{Path(model).parent.parent.name} on {Path(path).name}"
                text = f"F1 {scores['f1']:.2f}, {scores['text']['f1']:.2f} on raw text"
                ctx.log(f"[evaluate] {n}/{len(missing)} {name}: {text}")

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> Measured:
        return {pair: json.loads((done[_key(pair)].path / SCORES).read_text()) for pair in self.pairs}


class Evaluate(Stage):
    """Scores the students of a run. Result: a dict with these keys.

    - `languages`: for each language `zero_transfer`, `student` and `sentences` of its first set
    - `sets`: for each set, by its name, the same and `encoder`, `gain`, `seeds`, and `by_seed`: F1 of both models
    - `source_sets`: for each dev set the scores of the teacher

    Args:
        students_only: do not score the teacher.
    """

    name, version = "evaluate", ScoreModels.version
    needs: tuple[str, ...] = ("teacher", "student")

    def __init__(self, students_only: bool = False):
        self.students_only = students_only

    def describe(self, config: Config) -> str:
        return f"{len(config.evaluation)} gold sets, zero-shot transfer beside each student"

    def pieces(self, ctx: Context, inputs: Inputs) -> list[Piece]:
        return self._scores(ctx, inputs).pieces(ctx, inputs)

    def run(self, ctx: Context, inputs: Inputs, todo: Sequence[PieceDir]) -> None:
        self._scores(ctx, inputs).run(ctx, inputs, todo)

    def result(self, ctx: Context, inputs: Inputs, done: Mapping[str, StageDir]) -> dict[str, Any]:
        measured = self._scores(ctx, inputs).result(ctx, inputs, done)
        sets = _sets(ctx.config, inputs["student"], measured)
        languages: dict[str, Any] = {}
        for row in sets.values():
            languages.setdefault(row["language"], {k: row[k] for k in ("zero_transfer", "student", "sentences")})
        dev = {} if self.students_only else self._dev(ctx, inputs)
        source = {g.name or Path(g.path).name: without_draws(measured[pair]) for pair, g in dev.items()}
        return {"languages": languages, "sets": sets, "source_sets": source}

    def _scores(self, ctx: Context, inputs: Inputs) -> ScoreModels:
        students = student_pairs(ctx.config, inputs["student"])
        return ScoreModels(students if self.students_only else self._dev(ctx, inputs) | students)

    def _dev(self, ctx: Context, inputs: Inputs) -> dict[Pair, GoldConfig]:
        teacher = str(inputs["teacher"].teacher(ctx.config.languages[0]))
        return {(teacher, gold.path): gold for gold in ctx.config.dev}


def student_pairs(config: Config, students: Sequence[Student]) -> dict[Pair, GoldConfig]:
    """Return the pairs to score: each student and its zero-shot model, with each set of its language."""
    pairs = [(s, gold) for gold in config.evaluation for s in students if s.language == gold.language]
    return {(str(model), gold.path): gold for s, gold in pairs for model in (s.base, s.folder)}


def score_models(
    work: Mapping[str, Sequence[GoldConfig]], fill: Mapping[str, str], threads: int
) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Score each model on its gold sets, in a worker.

    Args:
        work: the gold sets of each model, by its folder.
        fill: the file of each gold set, by its path in the config.
        threads: number of CPU threads.

    Yields:
        the folder of the model, the path of the set in the config, and the scores.
    """
    import torch

    from xner_ray.ner.tagger import open_tagger

    torch.set_num_threads(threads)
    for model, sets in work.items():
        tagger = open_tagger(model)
        for gold in sets:
            sentences = read_gold_file(gold, fill[gold.path])
            measured = evaluate_tagger(tagger, sentences, gold.types)
            yield model, gold.path, measured | {"text": text_scores(tagger, sentences, gold.types)}


def _key(pair: Pair) -> str:
    return " on ".join(pair)


def _sets(config: Config, students: Sequence[Student], measured: Measured) -> dict[str, Any]:
    sets: dict[str, Any] = {}
    for gold in config.evaluation:
        mine = [s for s in students if s.language == gold.language]
        encoders = list(dict.fromkeys(s.encoder for s in mine))
        for encoder in encoders:
            name = (gold.name or Path(gold.path).name) + (f" ({encoder})" if len(encoders) > 1 else "")
            sets[name] = _row(gold, encoder, [s for s in mine if s.encoder == encoder], measured)
    return sets


def _row(gold: GoldConfig, encoder: str, students: list[Student], measured: Measured) -> dict[str, Any]:
    before = _mean([measured[base, gold.path] for base in dict.fromkeys(str(s.base) for s in students)])
    after = _mean([measured[str(s.folder), gold.path] for s in students])
    by_seed = [
        {"zero_transfer": measured[str(s.base), gold.path]["f1"], "student": measured[str(s.folder), gold.path]["f1"]}
        for s in students
    ]
    return {
        "language": gold.language,
        "encoder": encoder,
        "zero_transfer": without_draws(before),
        "student": without_draws(after),
        "gain": gain(before, after, (before[DRAWS], after[DRAWS])),
        "sentences": after["sentences"],
        "seeds": [s.seed for s in students],
        "by_seed": by_seed,
    }


def _mean(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean of several measurements, or the only one."""
    if len(runs) == 1:
        return runs[0]
    draws = mean_draws([one[DRAWS] for one in runs])
    bins = merge([one["calibration"] for one in runs])
    return {
        **with_intervals(mean_scores(runs), draws),
        "text": mean_scores([one["text"] for one in runs]),
        "calibration": bins,
        "ece": ece(bins),
        "sentences": runs[0]["sentences"],
        DRAWS: draws,
    }
