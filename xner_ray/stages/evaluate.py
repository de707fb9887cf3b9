"""Measuring on gold: students beside zero-transfer, the teacher on English dev, any folder on any file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xner_ray.config import Gold
from xner_ray.errors import UserError
from xner_ray.evaluation.calibration import merge, reliability
from xner_ray.evaluation.conll import Sentence, read_conll
from xner_ray.evaluation.intervals import gain, mean_draws, resample, sentence_counts, with_intervals
from xner_ray.evaluation.scores import mean_scores, scores
from xner_ray.runs.fingerprint import fingerprint
from xner_ray.stages.context import Run, model_identity, once
from xner_ray.stages.english import english_models, teachers
from xner_ray.stages.student import Student, students
from xner_ray.tags import spans_of

SCORES_VERSION = 2  # of what a file under scores/ holds; another number measures anew
DRAWS = "draws"  # resampled F1: kept with the scores, so that models can be compared draw by draw, not in results


def evaluate_model(
    model: str,
    data: str,
    language: str = "en",
    tag_map: Mapping[str, str] | None = None,
    types: Sequence[str] | None = None,
) -> dict[str, Any]:
    """Score a tagger's folder on a CoNLL file.

    Returns:
        precision, recall, f1 (percent, strict entity match by seqeval), f1_interval (95%, bootstrap), support, types,
        calibration, sentences.

    Raises:
        UserError: the folder holds no tagger, or the file is not what `evaluation.conll` reads.
    """
    from xner_ray.ner.tagger import open_tagger

    if not Path(model).is_dir():
        raise UserError(
            "no such model folder", file=model, key="--model", remedy="give a folder that a training wrote"
        )
    measured = evaluate_tagger(open_tagger(model), read_conll(data, language, tag_map, types), types)
    return _told(measured)


def evaluate_tagger(tagger, sentences: Sequence[Sentence], types: Sequence[str] | None = None) -> dict[str, Any]:
    """Score a loaded tagger. `types`: predictions of other types count as O, as such gold entities did when it was read."""
    predicted, certain = tagger.tag_words_scored([s.raw() for s in sentences])
    if types:
        kept = [tag[2:] in types for tags in predicted for tag in tags if tag.startswith("B-")]
        certain = certain[np.array(kept, bool)]
        predicted = [[tag if tag[2:] in types else "O" for tag in tags] for tags in predicted]
    gold = [s.tags for s in sentences]
    draws = resample(*sentence_counts(gold, predicted))
    return {
        **with_intervals(scores(gold, predicted), draws),
        "calibration": reliability(certain, _correct(gold, predicted)),
        "sentences": len(sentences),
        DRAWS: draws,
    }


def _correct(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> np.ndarray:
    """Whether each predicted entity is one of gold, in the order of the B- tags."""
    pairs = zip(gold, predicted, strict=True)
    return np.array(
        [span in want for want, got in ((spans_of(a), spans_of(b)) for a, b in pairs) for span in got], bool
    )


def _told(measured: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in measured.items() if key != DRAWS}


@once
def evaluate_all(run: Run) -> dict[str, Any]:
    """Zero-transfer and students on every evaluation set; the teacher on English dev.

    Returns:
        `languages`: by language, of its first set: zero_transfer, student, sentences; `sets`: the same for every set, by
        name, with `encoder` and `gain`; `english`: the teacher's scores.
    """
    config, trained = run.config, students(run)
    work: dict[tuple[str, str], Gold] = {}
    english = english_models(run, list(teachers(run).values()))
    teacher = english[next(iter(teachers(run).values()))]
    for gold in config.dev:
        work[str(teacher), gold.path] = gold
    for gold in config.evaluation:
        for student in trained:
            if student.language == gold.language:
                work[str(student.base), gold.path] = work[str(student.folder), gold.path] = gold
    done = _measure(run, work)
    sets: dict[str, Any] = {}
    for gold in config.evaluation:
        mine = [s for s in trained if s.language == gold.language]
        for encoder in dict.fromkeys(s.encoder for s in mine):
            name = (gold.name or Path(gold.path).name) + (
                f" ({encoder})" if len({s.encoder for s in mine}) > 1 else ""
            )
            sets[name] = _row(gold, encoder, [s for s in mine if s.encoder == encoder], done)
    languages: dict[str, Any] = {}
    for row in sets.values():
        languages.setdefault(row["language"], {k: row[k] for k in ("zero_transfer", "student", "sentences")})
    return {
        "languages": languages,
        "sets": sets,
        "english": {g.name or Path(g.path).name: _told(done[str(teacher), g.path]) for g in config.dev},
    }


def _row(gold: Gold, encoder: str, mine: list[Student], done: dict) -> dict[str, Any]:
    runs = [done[str(s.folder), gold.path] for s in mine]
    before, after, draws = done[str(mine[0].base), gold.path], runs[0], runs[0][DRAWS]
    if len(runs) > 1:
        draws = mean_draws([one[DRAWS] for one in runs])
        after = with_intervals(mean_scores(runs), draws) | {"calibration": merge([one["calibration"] for one in runs])}
    return {
        "language": gold.language,
        "encoder": encoder,
        "zero_transfer": _told(before),
        "student": _told(after),
        "gain": gain(before, after, (before[DRAWS], draws)),
        "sentences": runs[0]["sentences"],
        "seeds": [s.seed for s in mine],
    }


def _measure(run: Run, work: dict[tuple[str, str], Gold]) -> dict[tuple[str, str], dict[str, Any]]:
    """Score what was not scored before; one Ray task, because a cluster's driver has no GPU."""
    folder = run.out / "scores"
    folder.mkdir(exist_ok=True)
    done, todo = {}, []
    for (model, path), gold in work.items():
        parts = {"model": model_identity(model), "gold": run.gold_parts([gold]), "version": SCORES_VERSION}
        file = folder / f"{fingerprint(parts)}.json"
        if file.exists():
            done[model, path] = json.loads(file.read_text())
        else:
            todo.append((model, path, gold.model_copy(update={"path": run.config.fill(path)}), file))
    if not todo:
        return done
    import ray

    run.ray()
    run.say(f"[evaluate] {len(todo)} model and gold set pairs")
    resources = ray.cluster_resources()
    ask = {"num_gpus": 1} if resources.get("GPU", 0) >= 1 else {"num_cpus": max(1, int(resources.get("CPU", 1)))}
    by_model: dict[str, list[tuple[str, Gold, Path]]] = {}
    for model, path, gold, file in todo:
        by_model.setdefault(model, []).append((path, gold, file))
    task = ray.remote(**ask)(_score)  # type: ignore[call-overload]
    with run.work("evaluate", folder.name) as amount:
        for model, path, file, result in ray.get(task.remote(by_model, int(ask.get("num_cpus", 1)))):
            file.write_text(json.dumps(result))
            done[model, path] = result
            amount["sentences"] = amount.get("sentences", 0) + result["sentences"]
    return done


def _score(work: dict[str, list[tuple[str, Gold, Path]]], threads: int) -> list[tuple[str, str, Path, dict[str, Any]]]:
    import torch

    from xner_ray.ner.tagger import open_tagger

    torch.set_num_threads(threads)
    results = []
    for model, sets in work.items():
        tagger = open_tagger(model)
        for path, gold, file in sets:
            sentences = read_conll(gold.path, gold.language, gold.tag_map, gold.types)
            results.append((model, path, file, evaluate_tagger(tagger, sentences, gold.types)))
    return results
